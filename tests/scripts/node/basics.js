// limit: 120
const fs = require('fs'), cp = require('child_process'), os = require('os');
console.log([1, 2, 3].map(x => x * x), process.argv.length, typeof os.cpus().length);
let s = 0; for (let i = 0; i < 5e6; i++) s = (s + i * i) % 1000003; console.log(s);
console.log(cp.execSync('echo child').toString());
const d = fs.mkdtempSync('/tmp/n'); fs.writeFileSync(d + '/a', 'x'.repeat(1e6)); console.log(fs.statSync(d + '/a').size); fs.rmSync(d, {recursive: true});
// One after the other: which of two pending ones comes first is a matter of luck.
const {Worker} = require('worker_threads');
function work() { new Worker("require('worker_threads').parentPort.postMessage(42)", {eval: true}).on('message', m => console.log('worker', m)); }
Promise.resolve().then(() => console.log('micro'));
setImmediate(() => { console.log('immediate'); setTimeout(() => { console.log('timer'); work(); }, 10); });
