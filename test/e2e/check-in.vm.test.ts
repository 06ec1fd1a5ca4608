import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { freshId, type TestStack, type View } from '../support/stack.ts';
import { withoutVms } from '../support/vm-image.ts';
import { startVmStack, tellVmStack, vmSize } from '../support/vm-lab.ts';

// A template that boots, and two runs of cloud-init one after the other, without KVM.
vi.setConfig({ testTimeout: 900_000, hookTimeout: 120_000 });

const bundle = `variants: [${JSON.stringify({ provider: 'qemu', image: 'debian', ...vmSize })}]
ready: checkin
provisionWithinMs: 10m
readyWithinMs: 15m
attempts: 2
userData:
  users: [{name: site, sudo: true}]
  files: [{path: /etc/site.conf, text: "colour = blue\\n", owner: site, mode: '0600'}]
  scripts:
    - title: register
      shell: 'case $(uname -n) in *-1) echo "no licence left" >&2; exit 7 ;; esac'
    - title: take a while
      shell: |
        sleep 3
        test "$(stat -c '%U %a' /etc/site.conf)" = 'site 600'
        echo "ended=$(date +%s%3N)" >/var/lib/slipway/boot/facts
  raw: {runcmd: ['echo raw >/etc/raw']}
`;

describe.skipIf(withoutVms())('a real machine that configures itself', () => {
  let stack: TestStack;
  beforeAll(async () => {
    stack = await startVmStack({ bundles: { node: bundle } });
  });
  afterAll(() => stack?.stop());
  tellVmStack(() => stack);
  const leaseId = freshId('vm');
  /** However many looks it takes. */
  const seen = async (what: 'ready' | 'gone'): Promise<View> => {
    for (;;) {
      const view = await stack.wait(leaseId, what);
      const over = view.attempts.every(({ phase }) => phase === 'gone');
      if (what === 'ready' ? view.state !== 'acquiring' : over && view.times.ended !== undefined) return view;
    }
  };

  it('is not ready before its last stage has ended, and is given up in its own words when that fails', async () => {
    const job = { command: { shell: 'cat /etc/raw; sudo cat /etc/site.conf' } };
    await stack.create({ leaseId, bundle: 'node', job });
    const { attempts, machine, times } = await seen('ready');
    expect(attempts.map(({ phase, reason }) => [phase, reason?.type, reason?.message])).toMatchObject([
      [
        'gone',
        'CustomizeFailed',
        "The guest's own last stage failed: script 1 (register) exited 7: no licence left (result 7)",
      ],
      [expect.any(String), undefined, undefined],
    ]);
    expect(machine?.checkIn).toMatchObject({
      result: 0,
      facts: { os: expect.stringContaining('Debian'), hostname: expect.stringMatching(/-2$/) },
      hostKeys: [machine?.access?.hostKey],
    });
    expect(Date.parse(times.ready ?? '')).toBeGreaterThan(Number(machine?.checkIn?.facts['ended']));
    expect((await stack.follow(leaseId, 'job')).out.toString()).toBe('raw\ncolour = blue\n');
    await seen('gone');
  });
});
