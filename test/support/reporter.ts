import { DefaultReporter } from 'vitest/node';
import type { TestModule } from 'vitest/node';

/** The default reporter, with a closing line that any runner of tests can read. */
export default class ClosingLine extends DefaultReporter {
  override onTestRunEnd(...args: Parameters<DefaultReporter['onTestRunEnd']>): void {
    super.onTestRunEnd(...args);
    const count = { passed: 0, failed: 0, skipped: 0 };
    const modules: readonly TestModule[] = args[0];
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const state = test.result().state;
        if (state !== 'pending') count[state] += 1;
      }
      if (module.state() === 'failed' && module.errors().length > 0) count.failed += 1;
    }
    count.failed += args[1].length;
    this.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  }
}
