/** Breaks every import rule once, in a small tree of its own, and sees that the checker says so and nothing else. */
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { execa } from "execa";
import { afterAll, expect, test } from "vitest";

const repository = resolve(import.meta.dirname, "..", "..");
const root = realpathSync(mkdtempSync(join(tmpdir(), "vastlane-rules-")));

/** Files of the small tree; each imports what follows it. */
const ALLOWED: Record<string, string[]> = {
  "common/clock.ts": ["node:fs"],
  "common/retry.ts": ["./clock.ts"],
  "runtime/agent.ts": ["../common/clock.ts"],
  "infra/index.ts": ["./config.ts", "@pulumi/pulumi"],
  "infra/config.ts": ["../common/clock.ts"],
  "infra/vast/api.ts": ["../../common/clock.ts"],
  "emulator/index.ts": ["./daemon.ts"],
  "emulator/daemon.ts": ["../common/clock.ts", "./machine/types.ts"],
  "emulator/machine/index.ts": ["./types.ts"],
  "emulator/machine/types.ts": ["../../common/clock.ts"],
  "cli/main.ts": ["../infra/config.ts", "../runtime/agent.ts", "../emulator/index.ts", "../common/clock.ts"],
  "experiments/good.ts": ["vastlane/metrics"],
  "test/any.test.ts": ["../emulator/daemon.ts", "../infra/config.ts", "vitest"],
};

/** A file, what it imports, and the rule that this breaks. */
const BROKEN: [file: string, target: string, rule: string][] = [
  ["common/bad-runtime.ts", "../runtime/agent.ts", "common-imports-only-nothing-of-ours"],
  ["common/bad-infra.ts", "../infra/config.ts", "common-imports-only-nothing-of-ours"],
  ["runtime/bad-infra.ts", "../infra/config.ts", "runtime-imports-only-common"],
  ["runtime/bad-pulumi.ts", "@pulumi/pulumi", "runtime-without-pulumi"],
  ["infra/bad-runtime.ts", "../runtime/agent.ts", "infra-imports-only-common"],
  ["infra/bad-cli.ts", "../cli/main.ts", "infra-imports-only-common"],
  ["emulator/bad-infra.ts", "../infra/config.ts", "emulator-imports-only-common"],
  ["emulator/bad-cli.ts", "../cli/main.ts", "emulator-imports-only-common"],
  ["cli/bad-test.ts", "../test/any.test.ts", "cli-imports-only-common-infra-runtime-emulator"],
  ["cli/bad-market.ts", "../infra/vast/api.ts", "cli-acts-through-lifecycle"],
  ["cli/bad-emulator.ts", "../emulator/daemon.ts", "only-the-index-of-emulator"],
  ["emulator/bad-inner.ts", "./machine/start.ts", "only-the-index-of-emulator-machine"],
  ["experiments/bad-inner.ts", "../runtime/agent.ts", "experiments-use-public-entries"],
  ["cli/bad-dev.ts", "vitest", "no-dev-dependencies"],
  ["cli/bad-missing.ts", "./nowhere.ts", "no-unresolved"],
  ["infra/bad-circle-back.ts", "./bad-circle.ts", "no-cycles"],
];

afterAll(() => rmSync(root, { recursive: true, force: true }));

test("each import rule catches its violation, and nothing that is allowed", async () => {
  write("emulator/machine/start.ts", ["./types.ts"]);
  write("infra/bad-circle.ts", ["./bad-circle-back.ts"]);
  for (const [file, targets] of Object.entries(ALLOWED)) write(file, targets);
  for (const [file, target] of BROKEN) write(file, [target]);
  writeFileSync(join(root, "cli", "forgotten.ts"), "export {};\n");
  const exports = { "./metrics": "./runtime/agent.ts" };
  const dependencies = { "@pulumi/pulumi": "*" };
  const devDependencies = { vitest: "*" };
  writeFileSync(
    join(root, "package.json"),
    JSON.stringify({ name: "vastlane", type: "module", exports, dependencies, devDependencies }),
  );
  for (const file of ["tsconfig.json", ".dependency-cruiser.cjs"]) cpSync(join(repository, file), join(root, file));
  symlinkSync(join(repository, "node_modules"), join(root, "node_modules"));

  const program = join(repository, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs");
  const folders = ["common", "infra", "runtime", "emulator", "cli", "experiments", "test"];
  const args = [program, "--config", ".dependency-cruiser.cjs", "--output-type", "json", ...folders];
  const { stdout } = await execa(process.execPath, args, { cwd: root, reject: false });

  const { violations } = JSON.parse(stdout).summary as { violations: { rule: { name: string }; from: string }[] };
  const found = violations.map(({ rule, from }) => `${from}: ${rule.name}`);
  const wanted = [...BROKEN.map(([file, , rule]) => `${file}: ${rule}`), "cli/forgotten.ts: no-orphans"];
  expect(found.sort()).toEqual(wanted.sort());
});

function write(file: string, targets: string[]): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), `${targets.map((target) => `import "${target}";`).join("\n")}\nexport {};\n`);
}
