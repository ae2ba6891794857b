/**
 * How long a person waits: `up` to the command's first output line, an `up` that changes nothing, `destroy`, and ten
 * machines against one, with the market's delays at zero. `--repeat N` (default 3) prints the median and the range.
 */

import { cpSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { makeProject, repository, type TestProject } from "../test/helpers/project.ts";

const EXPERIMENT = { command: ["node", "experiments/bigram.ts"] };

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { repeat: { type: "string", default: "3" } } });
  const repeat = Number(values.repeat);
  process.stdout.write(
    `${cpus().length} cores, Node ${process.version}, emulator with zero delays, median of ${repeat} (range)\n`,
  );
  await measureOne(repeat);
  await measureTen(repeat);
}

async function measureOne(repeat: number): Promise<void> {
  const project = await makeProject({
    config: { experiment: EXPERIMENT },
    emulator: { binds: [{ from: join(repository, "node_modules"), to: "/opt/vastlane/node_modules" }] },
  });
  const seconds: Record<"first line" | "up" | "no-op up" | "destroy", number[]> = {
    "first line": [],
    up: [],
    "no-op up": [],
    destroy: [],
  };
  try {
    // A project as people have it: an experiment beside the program, its helper from the package.
    cpSync(join(repository, "experiments"), join(project.root, "experiments"), { recursive: true });
    for (let i = 0; i < repeat; i++) {
      const started = performance.now();
      await ok(project, ["up"]);
      seconds.up.push(since(started));
      // The log is followed until the command has printed something; the wait for it belongs to the figure.
      while (!(await project.vastlane(["logs", "-n", "1"])).stdout.trim());
      seconds["first line"].push(since(started));
      seconds["no-op up"].push(await timed(() => ok(project, ["up"])));
      seconds.destroy.push(await timed(() => ok(project, ["destroy"])));
    }
  } finally {
    await project.dispose();
  }
  print("up until it returns", seconds.up);
  print("up to the command's first line", seconds["first line"], "<= 10");
  print("up that changes nothing", seconds["no-op up"], "<= 4");
  print("destroy", seconds.destroy, "<= 5");
}

async function measureTen(repeat: number): Promise<void> {
  const one: number[] = [];
  const ten: number[] = [];
  const project = await makeProject();
  try {
    for (let i = 0; i < repeat; i++) {
      for (const [nodes, into] of [
        [1, one],
        [10, ten],
      ] as const) {
        project.configure({ machine: { diskGB: 10, nodes } });
        into.push(await timed(() => ok(project, ["up"])));
        await ok(project, ["destroy"]);
      }
    }
  } finally {
    await project.dispose();
  }
  print("one machine", one);
  print("ten machines in one up", ten, "<= 1.5 x one");
  process.stdout.write(`  ratio ${(median(ten) / median(one)).toFixed(2)}\n`);
  const limited = await makeProject({ config: { machine: { diskGB: 10, nodes: 10 } }, emulator: { rateLimits: true } });
  try {
    print("ten machines with the documented rate limits", [await timed(() => ok(limited, ["up"]))], "<= 50");
    await ok(limited, ["destroy"]);
  } finally {
    await limited.dispose();
  }
}

async function ok(project: TestProject, args: string[]): Promise<void> {
  const { code, stdout, stderr } = await project.vastlane(args);
  if (code !== 0) throw new Error(`vastlane ${args.join(" ")} ended with ${code}\n${stdout}${stderr}`);
}

async function timed(act: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await act();
  return since(started);
}

const since = (started: number) => (performance.now() - started) / 1000;

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function print(what: string, values: number[], wanted = ""): void {
  const range = `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}`;
  process.stdout.write(`  ${what.padEnd(46)} ${median(values).toFixed(1).padStart(6)} s  (${range})  ${wanted}\n`);
}
