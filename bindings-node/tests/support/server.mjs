// Starts the repository's test server for one test file.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

function binary() {
  if (process.env.LONGWIRE_TEST_SERVER) return process.env.LONGWIRE_TEST_SERVER;
  const candidates = ['release', 'debug'].map((profile) =>
    fileURLToPath(new URL(`../../../target/${profile}/longwire-test-server`, import.meta.url)),
  );
  const found = candidates.find((path) => existsSync(path));
  if (!found) throw new Error(`no test server; expected one of ${candidates.join(', ')}`);
  return found;
}

/** `{ ws, wss, wss_bad_name, wss_client_cert, ca_file, stop }` */
export async function startServer(...args) {
  const child = spawn(binary(), ['--stdin-guard', ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const exited = once(child, 'exit');
  return {
    ...JSON.parse(line),
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
