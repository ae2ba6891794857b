/**
 * `npm test [-- FILTER...]`: set-up, check, all tests, and one closing line `N passed, N failed[, N skipped]`, in which
 * the check counts as one test. Prints failures whole and little else. Starts on Node 20 with nothing installed.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { root, runNode } from "./run.mjs";

const filters = process.argv.slice(2);
const report = join(root, ".vastlane", `test-report.${process.pid}.json`);

// Ctrl-C reaches the children as well; the closing line then says how far they came.
process.on("SIGINT", () => {});

process.exitCode = await main();

async function main() {
  // In CI an engine that cannot be had is a failure; on a person's machine its tests are skipped, by name.
  const flags = process.env.CI ? [] : ["--engine-optional"];
  const setup = spawnSync(process.execPath, [join(root, "scripts", "setup.mjs"), ...flags], { stdio: "inherit" });
  if (setup.status !== 0) return close({ passed: 0, failed: 1, skipped: [] });

  const check = await runNode("scripts/check.mjs", [], { show: true });
  const tests = await runTests();
  return close({
    passed: tests.passed + (check.code === 0 ? 1 : 0),
    failed: tests.failed + (check.code === 0 ? 0 : 1),
    skipped: tests.skipped,
  });
}

/** @returns {Promise<{ passed: number, failed: number, skipped: { name: string, reason: string }[] }>} */
async function runTests() {
  mkdirSync(dirname(report), { recursive: true });
  try {
    const args = ["run", "--reporter", "./scripts/test-reporter.ts", ...filters];
    const { code } = await runNode("node_modules/vitest/vitest.mjs", args, {
      env: { VASTLANE_TEST_REPORT: report, ...(process.stdout.isTTY ? {} : { NO_COLOR: "1" }) },
      show: true,
    });
    const tests = JSON.parse(readFileSync(report, "utf8"));
    // vitest also fails for what is no test's fault, such as a filter that matches nothing.
    return code !== 0 && tests.failed === 0 ? { ...tests, failed: 1 } : tests;
  } catch (error) {
    console.error(`vitest ended without a report: ${/** @type {Error} */ (error).message}`);
    return { passed: 0, failed: 1, skipped: [] };
  } finally {
    rmSync(report, { force: true });
  }
}

/** @param {{ passed: number, failed: number, skipped: { name: string, reason: string }[] }} sum */
function close({ passed, failed, skipped }) {
  for (const { name, reason } of skipped) console.log(`skipped: ${name} (${reason})`);
  console.log(`${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`);
  return failed > 0 ? 1 : 0;
}
