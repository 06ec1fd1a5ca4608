// Takes the pictures of docs/temporal-ui.md, of one lease in a running stack:
//   node scripts/ui-pictures.mjs http://127.0.0.1:8233 LEASE-ID
// Wants Chromium on the PATH (Debian: apt-get install chromium). Not part of the tests: a picture is looked at by a person.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const [ui, leaseId] = process.argv.slice(2);
if (ui === undefined || leaseId === undefined) throw new Error('say the address of the UI, and a lease');
const images = fileURLToPath(new URL('../docs/images/', import.meta.url));
const workflow = (id) => `/namespaces/default/workflows/${encodeURIComponent(id)}`;

/** `click`: texts of what is clicked, one after the other. */
const pictures = [
  { name: 'temporal-ui-lease', path: workflow(`lease/${leaseId}`) },
  { name: 'temporal-ui-machine', path: workflow(`machine/${leaseId}.1`), scrollTo: 'Timeline' },
  { name: 'temporal-ui-details', path: workflow(`lease/${leaseId}`), click: ['User Metadata'] },
  { name: 'temporal-ui-signal', path: workflow(`lease/${leaseId}`), click: ['More Actions', 'Send a Signal'] },
];

const profile = mkdtempSync(join(tmpdir(), 'slipway-chromium-'));
const browser = spawn(
  'chromium',
  [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--hide-scrollbars',
    '--remote-debugging-pipe',
    `--user-data-dir=${profile}`,
  ],
  { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
);
const gone = new Promise((resolve) => browser.once('exit', resolve));

// The DevTools protocol over a pipe: JSON messages, each ended by a NUL.
const [, , , toBrowser, fromBrowser] = browser.stdio;
const waiting = new Map();
let text = '';
let count = 0;
fromBrowser.setEncoding('utf8').on('data', (chunk) => {
  const messages = `${text}${chunk}`.split('\0');
  text = messages.pop() ?? '';
  for (const message of messages.map((each) => JSON.parse(each))) {
    const { resolve, reject } = waiting.get(message.id) ?? {};
    waiting.delete(message.id);
    if (message.error) reject?.(new Error(message.error.message));
    else resolve?.(message.result);
  }
});
const call = (method, params = {}, sessionId) =>
  new Promise((resolve, reject) => {
    count += 1;
    waiting.set(count, { resolve, reject });
    toBrowser.write(`${JSON.stringify({ id: count, method, params, sessionId })}\0`);
  });

try {
  const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  const page = (method, params) => call(method, params, sessionId);
  const value = async (expression) =>
    (await page('Runtime.evaluate', { expression, returnByValue: true })).result.value;
  await page('Emulation.setDeviceMetricsOverride', { width: 1280, height: 800, deviceScaleFactor: 1, mobile: false });
  mkdirSync(images, { recursive: true });

  for (const { name, path, click = [], scrollTo } of pictures) {
    await page('Page.navigate', { url: new URL(path, ui).href });
    await settled(value);
    for (const words of click) {
      const clicked = await value(`(() => {
        const wanted = ${JSON.stringify(words)}.toLowerCase();
        const found = [...document.querySelectorAll('button, a, [role=menuitem], [role=tab], li, li *')]
          .filter((each) => each.textContent.trim().toLowerCase() === wanted || each.getAttribute('aria-label')?.toLowerCase() === wanted);
        found.at(-1)?.click();
        return found.length > 0;
      })()`);
      if (!clicked) throw new Error(`${name}: there is no ${words} to click`);
      await settled(value);
    }
    if (scrollTo !== undefined) {
      await value(`[...document.querySelectorAll('h1, h2, h3')]
        .find((each) => each.textContent.trim().startsWith(${JSON.stringify(scrollTo)}))?.scrollIntoView()`);
      await pause(500);
    }
    const { data } = await page('Page.captureScreenshot', { format: 'png' });
    const bytes = Buffer.from(data, 'base64');
    writeFileSync(join(images, `${name}.png`), bytes);
    process.stdout.write(`${name}.png ${Math.round(bytes.length / 1024)} KiB\n`);
  }
} finally {
  await call('Browser.close').catch(() => undefined);
  await gone;
  rmSync(profile, { recursive: true, force: true });
}

/** What the page says has not changed for a second. */
async function settled(value) {
  let before;
  let same = 0;
  for (let look = 0; look < 24 && same < 3; look += 1) {
    await pause(250);
    const now = await value('document.body.innerText');
    same = now === before && now.length > 200 ? same + 1 : 0;
    before = now;
  }
}
