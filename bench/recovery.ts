/**
 * How long a run stands still after its machine was taken away without a warning: SIGKILL to the first new step on
 * another machine, with the market's delays at zero and its documented rate limits. `--repeat N` (default 3) prints
 * the median and the range. Then the same once on machines with neither Node nor packages.
 */
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { makeProject, repository, type TestProject } from "../test/helpers/project.ts";
import { writeStepper } from "../test/helpers/stepper.ts";
import { makeBareProject } from "./recovery/bare.ts";
import { preempt, type Recovery } from "./recovery/preemption.ts";

const PARTS: [keyof Recovery, what: string, wanted: string][] = [
  ["detect", "detect (kill to `recovering`)", "<= 12"],
  ["rentToSsh", "rent to SSH", ""],
  ["sshToFirstStep", "SSH to first new step", ""],
  ["total", "total", "<= 20"],
];

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { repeat: { type: "string", default: "3" } } });
  const repeat = Number(values.repeat);
  process.stdout.write(
    `${cpus().length} cores, Node ${process.version}, watch --every 10, emulator with zero delays and the documented rate limits, median of ${repeat} (range)\n`,
  );
  const project = await makeProject({
    emulator: {
      rateLimits: true,
      binds: [{ from: join(repository, "node_modules"), to: "/opt/vastlane/node_modules" }],
    },
  });
  try {
    await start(project);
    const recoveries: Recovery[] = [];
    for (let i = 0; i < repeat; i++) recoveries.push(await preempt(project, Math.random()));
    printAll(recoveries);
    await ok(project, ["destroy"]);
  } finally {
    await project.dispose();
  }
  await measureBare();
}

async function measureBare(): Promise<void> {
  const bare = await makeBareProject();
  if (!bare) {
    process.stdout.write("  bare machines: not measured, as machines are not isolated here\n");
    return;
  }
  process.stdout.write("bare machines (Node and packages are installed on each), once\n");
  try {
    await start(bare.project);
    printAll([await preempt(bare.project, Math.random())]);
    await ok(bare.project, ["destroy"]);
  } finally {
    await bare.dispose();
  }
}

function printAll(recoveries: Recovery[]): void {
  if (recoveries.length === 0) return;
  for (const [part, what, wanted] of PARTS) {
    print(
      what,
      recoveries.map((it) => it[part]),
      wanted,
    );
  }
}

/** A run that outlasts the measurement: a step each 50 ms, a checkpoint each fifth. */
async function start(project: TestProject): Promise<void> {
  project.configure({
    experiment: { command: writeStepper(project.root), params: { steps: 1_000_000 } },
    checkpoint: { store: "s3", s3_bucket: "runs" },
  });
  await ok(project, ["up"]);
}

async function ok(project: TestProject, args: string[]): Promise<void> {
  const { code, stdout, stderr } = await project.vastlane(args);
  if (code !== 0) throw new Error(`vastlane ${args.join(" ")} ended with ${code}\n${stdout}${stderr}`);
}

function print(what: string, values: number[], wanted: string): void {
  const sorted = [...values].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const range = `${sorted[0]?.toFixed(1)} to ${sorted.at(-1)?.toFixed(1)}`;
  process.stdout.write(`  ${what.padEnd(46)} ${median.toFixed(1).padStart(6)} s  (${range})  ${wanted}\n`);
}
