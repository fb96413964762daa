// Goroutines, channels, files, processes, signals and timers of the Go runtime.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sort"
	"sync"
	"syscall"
	"time"
)

func main() {
	var group sync.WaitGroup
	results := make(chan int, 100)
	for i := 0; i < 100; i++ {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			runtime.Gosched()
			results <- n * n
		}(i)
	}
	group.Wait()
	close(results)
	var all []int
	for r := range results {
		all = append(all, r)
	}
	sort.Ints(all)
	fmt.Println(len(all), all[99])

	output, err := exec.Command("/bin/echo", "from a child").Output()
	fmt.Printf("%q %v\n", output, err)
	err = exec.Command("/bin/sh", "-c", "exit 4").Run()
	fmt.Println(err)

	directory, _ := os.MkdirTemp("", "go")
	os.WriteFile(directory+"/f", make([]byte, 100000), 0o600)
	info, _ := os.Stat(directory + "/f")
	fmt.Println(info.Size(), info.Mode())
	os.RemoveAll(directory)
	_, err = os.Stat(directory)
	fmt.Println(os.IsNotExist(err))

	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	select {
	case s := <-caught:
		fmt.Println(s)
	case <-time.After(5 * time.Second):
		fmt.Println("no signal")
	}
	// A goroutine that never yields is preempted by signals.
	done := make(chan bool)
	go func() {
		deadline := time.Now().Add(50 * time.Millisecond)
		x := 0
		for time.Now().Before(deadline) {
			x++
		}
		done <- x > 0
	}()
	spinning := true
	go func() {
		for spinning {
		}
	}()
	fmt.Println(<-done)
	spinning = false
	garbage := 0
	for i := 0; i < 1000; i++ {
		garbage += len(make([]byte, 100000))
	}
	runtime.GC()
	fmt.Println(garbage)
	r, w, _ := os.Pipe()
	go func() { time.Sleep(10 * time.Millisecond); w.Write([]byte("late")); w.Close() }()
	buffer := make([]byte, 10)
	n, _ := r.Read(buffer)
	fmt.Println(string(buffer[:n]))
	os.Exit(3)
}
