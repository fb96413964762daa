// fs.watch and fs.watchFile.
const fs = require('fs'), os = require('os'), path = require('path');
const top = fs.mkdtempSync(path.join(os.tmpdir(), 'watch-'));
const seen = new Set();
const watcher = fs.watch(top, (event, name) => {
  seen.add(`${event} ${name}`);
  if (name === 'last') {
    watcher.close();
    console.log([...seen].sort().join('\n'));
    fs.rmSync(top, { recursive: true });
  }
});
watcher.on('close', () => console.log('closed'));
setImmediate(() => {
  fs.writeFileSync(path.join(top, 'a'), 'x');
  fs.appendFileSync(path.join(top, 'a'), 'y');
  fs.renameSync(path.join(top, 'a'), path.join(top, 'b'));
  fs.mkdirSync(path.join(top, 'd'));
  fs.unlinkSync(path.join(top, 'b'));
  fs.mkdirSync(path.join(top, 'last'));
});
