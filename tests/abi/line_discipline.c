// Random keys and output under random attributes: what programs read, and what is shown.
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static unsigned long long seed = 20240607;

static unsigned draw(unsigned below) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(seed >> 33) % below;
}

static void hex(const unsigned char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) printf("%02x", bytes[i]);
}

// Some of the bits of a mask.
static tcflag_t some(tcflag_t mask) {
    tcflag_t bits = 0;
    for (tcflag_t bit = 1; bit; bit <<= 1)
        if (mask & bit && draw(2)) bits |= bit;
    return bits;
}

static const unsigned char keys[] = {
    'a', 'b', 'Z', '_', ' ', ' ', '\t', '\t', '\r', '\n', 4, 8, 127, 127, 127, 21, 23, 23, 18, 22,
    1, 27, ';', ':', 0, 0xc3, 0xa4, 0xe2, 0x82, 0xac, 0xff, 0x80,
};

int main(void) {
    alarm(50);
    int master, slave;
    if (openpty(&master, &slave, NULL, NULL, NULL) < 0) return 1;
    struct termios initial;
    tcgetattr(slave, &initial);
    for (int round = 0; round < 3000; round++) {
        struct termios t = initial;
        t.c_iflag = some(ISTRIP | INLCR | IGNCR | ICRNL | IUCLC | IXON | IXANY | PARMRK | IUTF8);
        t.c_oflag = some(OPOST | OLCUC | ONLCR | OCRNL | ONOCR | ONLRET | TABDLY);
        t.c_oflag |= OPOST * !!draw(4);
        t.c_lflag = some(ICANON | ECHO | ECHOE | ECHOK | ECHONL | ECHOCTL | ECHOPRT | ECHOKE | IEXTEN);
        t.c_lflag |= ICANON * !!draw(4) | ECHO * !!draw(3);
        if (draw(2)) t.c_cc[VEOL] = ';';
        if (draw(2)) t.c_cc[VEOL2] = ':';
        t.c_cc[VMIN] = 0;
        tcsetattr(slave, TCSANOW, &t);
        printf("%d %o %o %o: ", round, t.c_iflag, t.c_oflag, t.c_lflag);

        unsigned char text[64], shown[4096];
        size_t length = draw(20);
        for (size_t i = 0; i < length; i++) text[i] = keys[draw(sizeof keys)];
        write(slave, text, length);
        length = draw(40);
        for (size_t i = 0; i < length; i++) text[i] = keys[draw(sizeof keys)];
        hex(text, length);
        // Whatever the keys before it do, this can be read: a byte that is not among them, and an
        // end of file, which is never translated.
        memcpy(text + length, "\n\nq\004", 4);
        write(master, text, length + 4);
        printf(" read ");
        unsigned char got[256];
        size_t done = 0;
        while (!memchr(got, 'q', done)) {
            struct pollfd ready = {.fd = slave, .events = POLLIN};
            if (poll(&ready, 1, 20000) != 1) break;
            ssize_t n = read(slave, got + done, sizeof got - done);
            if (n < 0) break;
            hex(got + done, n);
            done += n;
            // Where lines end is seen in canonical mode only; else bytes come as they come.
            if (t.c_lflag & ICANON) putchar('.');
        }
        tcflush(slave, TCIFLUSH);
        write(slave, "\001\002\003", 3);
        done = 0;
        while (done < 3 || memcmp(shown + done - 3, "\001\002\003", 3)) {
            ssize_t n = read(master, shown + done, sizeof shown - done);
            if (n <= 0) break;
            done += n;
        }
        printf(" shown ");
        hex(shown, done - 3);
        printf("\n");
    }
    return 0;
}
