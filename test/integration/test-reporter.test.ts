/** What `npm test` counts, by running vitest with our reporter on a few tests that pass, fail, skip and do not load. */
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { projectRoot } from "../../cli/project.ts";

const root = mkdtempSync(join(tmpdir(), "vastlane-reporter-"));
let out: string;
let report: { passed: number; failed: number; skipped: { name: string; reason: string }[] };

beforeAll(async () => {
  symlinkSync(join(projectRoot, "node_modules"), join(root, "node_modules"));
  const write = (name: string, text: string) =>
    writeFileSync(join(root, name), `import { describe, expect, test } from "vitest";\n${text}\n`);
  write("a.test.ts", 'test("adds", () => expect(1 + 1).toBe(2));\ntest("breaks", () => expect(1).toBe(2));');
  write(
    "b.test.ts",
    `test("notes", ({ skip }) => skip("no disk"));
test.skip("says nothing", () => {});
describe.skip("engine [skipped: no engine here]", () => { test("ups", () => {}); });`,
  );
  write("c.test.ts", 'import "./nowhere.ts";\ntest("never", () => {});');
  const config = {
    test: { projects: [{ test: { name: "unit", include: ["*.test.ts"] } }], cache: false },
  };
  writeFileSync(join(root, "vitest.config.mjs"), `export default ${JSON.stringify(config)};\n`);
  const path = join(root, "report.json");
  const reporter = join(projectRoot, "scripts/test-reporter.ts");
  const args = [join(projectRoot, "node_modules/vitest/vitest.mjs"), "run", "--reporter", reporter];
  const result = await execa(process.execPath, args, {
    cwd: root,
    env: { VASTLANE_TEST_REPORT: path, NO_COLOR: "1", VITEST: undefined },
    reject: false,
  });
  out = result.stdout;
  report = JSON.parse(readFileSync(path, "utf8"));
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

test("counts passed and failed tests, and a file that does not load as one failed", () => {
  expect({ passed: report.passed, failed: report.failed }).toEqual({ passed: 1, failed: 2 });
});

test("names each skipped test with its reason", () => {
  expect(report.skipped).toEqual([
    { name: "b.test.ts: notes", reason: "no disk" },
    { name: "b.test.ts: says nothing", reason: "no reason given" },
    { name: "b.test.ts: engine > ups", reason: "no engine here" },
  ]);
});

test("prints one line per kind of test, and the failed tests alone", () => {
  expect(out.replace(/\(\d+ s\)/, "(N s)")).toMatch(/^unit: 1 passed, 2 failed, 3 skipped \(N s\)$/m);
  expect(out).toContain("breaks");
  expect(out).not.toContain("adds");
});
