// The tarball that users install: complete, and usable by both module systems.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const { name, version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url)));
const tarball = fileURLToPath(new URL(`../../dist/${name}-${version}.tgz`, import.meta.url));

test('the packed package loads from node_modules', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'longwire-package-'));
  try {
    const target = join(directory, 'node_modules', name);
    mkdirSync(target, { recursive: true });
    await run('tar', ['xzf', tarball, '-C', target, '--strip-components=1']);
    const options = { cwd: directory, timeout: 15_000 };
    const print = 'console.log([typeof connect, typeof WebSocket, errorCodes.LW_EURL].join())';
    for (const [type, load] of [
      ['commonjs', `const { connect, WebSocket, errorCodes } = require('longwire');`],
      ['module', `import { connect, WebSocket, errorCodes } from 'longwire';`],
    ]) {
      const args = [`--input-type=${type}`, '--eval', load + print];
      const { stdout } = await run(process.execPath, args, options);
      assert.equal(stdout, 'function,function,-2\n', type);
    }
    const files = await run('tar', ['tzf', tarball]);
    for (const file of ['README.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'index.d.ts', 'index.d.mts'])
      assert.ok(files.stdout.includes(`package/${file}\n`), file);
    assert.ok(!files.stdout.includes('/tests/'));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
