/**
 * The reporter of `npm test`: failures whole, one line per kind of test (unit, integration, e2e) when all its files
 * are done, and a small JSON file (VASTLANE_TEST_REPORT) for the closing line. A file that does not load, and an
 * error outside of any test, count as one failed test each.
 */
import { writeFileSync } from "node:fs";
import type { SerializedError, TestCase, TestModule, TestSpecification } from "vitest/node";
import { MinimalReporter } from "vitest/node";

interface Tally {
  filesLeft: number;
  passed: number;
  failed: number;
  skipped: number;
  start: number;
}

// vitest takes a reporter's class from the default export of its file.
export default class TestReporter extends MinimalReporter {
  #tallies = new Map<string, Tally>();

  override onTestRunStart(specifications: ReadonlyArray<TestSpecification>): void {
    super.onTestRunStart(specifications);
    for (const { project } of specifications) this.#tally(project.name).filesLeft++;
  }

  /** The sums below take its place. */
  override reportTestSummary(): void {}

  onTestModuleStart(module: TestModule): void {
    const tally = this.#tally(module.project.name);
    if (tally.start === 0) tally.start = Date.now();
  }

  override onTestModuleEnd(module: TestModule): void {
    super.onTestModuleEnd(module);
    const tally = this.#tally(module.project.name);
    const { passed, failed, skipped } = count([module]);
    tally.passed += passed;
    tally.failed += failed;
    tally.skipped += skipped.length;
    tally.filesLeft--;
    if (tally.filesLeft > 0) return;
    const seconds = ((Date.now() - tally.start) / 1000).toFixed(0);
    const parts = [`${tally.passed} passed`];
    if (tally.failed > 0) parts.push(`${tally.failed} failed`);
    if (tally.skipped > 0) parts.push(`${tally.skipped} skipped`);
    console.log(`${module.project.name}: ${parts.join(", ")} (${seconds} s)`);
  }

  override onTestRunEnd(
    modules: ReadonlyArray<TestModule>,
    errors: ReadonlyArray<SerializedError>,
    reason: Parameters<MinimalReporter["onTestRunEnd"]>[2],
  ): void {
    super.onTestRunEnd(modules, errors, reason);
    const sum = count(modules);
    const path = process.env.VASTLANE_TEST_REPORT;
    if (path) writeFileSync(path, JSON.stringify({ ...sum, failed: sum.failed + errors.length }));
  }

  #tally(project: string): Tally {
    let tally = this.#tallies.get(project);
    if (!tally) {
      tally = { filesLeft: 0, passed: 0, failed: 0, skipped: 0, start: 0 };
      this.#tallies.set(project, tally);
    }
    return tally;
  }
}

function count(modules: readonly TestModule[]) {
  const sum = { passed: 0, failed: 0, skipped: [] as { name: string; reason: string }[] };
  for (const module of modules) {
    let failedTests = 0;
    for (const test of module.children.allTests()) {
      const result = test.result();
      if (result.state === "passed") sum.passed++;
      else if (result.state === "skipped") sum.skipped.push(skipOf(test, result.note));
      else failedTests++; // also one that was still running when the run was cut short
    }
    sum.failed += failedTests;
    if (failedTests === 0 && module.state() === "failed") sum.failed++;
  }
  return sum;
}

/** The reason is the note of `skip("...")`, or what test/helpers/engine.ts puts into a group's name. */
function skipOf(test: TestCase, note: string | undefined): { name: string; reason: string } {
  const [marked = "", reason = "no reason given"] = / \[skipped: ([^\]]+)\]/.exec(test.fullName) ?? [];
  return { name: `${test.module.relativeModuleId}: ${test.fullName.replace(marked, "")}`, reason: note || reason };
}
