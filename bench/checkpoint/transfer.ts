/**
 * A checkpoint of 1 GiB into a store and out of it, against s5cmd with the same versitygw on the same disk. Ours is
 * the whole of `uploadLatest` and `downloadLatest`: every byte hashed, manifest and head written, the restored files
 * verified; s5cmd copies the file. Both are processes of their own; runs alternate, the median counts.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { pythonVenv } from "../../test/helpers/python.ts";
import { makeBucket, startVersitygw } from "../../test/helpers/s3.ts";

const REPEAT = 5;
const MiB = 1 << 20;
const SIZE = 1024 * MiB;
const BUCKET = "bench";

/** What a run of bench/checkpoint/worker.ts says about itself. */
interface Measured {
  seconds: number;
  /** Peak of the process, in bytes. */
  peakRss: number;
}

export async function run(): Promise<void> {
  const venv = await pythonVenv();
  if (!venv.ok) return void process.stdout.write(`  left out: ${venv.why}\n`);
  const server = await startVersitygw();
  if ("skip" in server) return void process.stdout.write(`  left out: ${server.skip}\n`);
  const dir = mkdtempSync(join(tmpdir(), "vastlane-bench-"));
  try {
    await makeBucket(server, BUCKET);
    const worker = await bundleWorker(dir);
    const ours = (...args: string[]): Measured =>
      JSON.parse(
        execFileSync(process.execPath, [worker, ...args], {
          encoding: "utf8",
          input: JSON.stringify({ endpoint: server.endpoint, region: server.region, bucket: BUCKET, keys: server }),
        }),
      );
    const s5cmd = (...args: string[]): number => {
      const started = performance.now();
      execFileSync(venv.program("s5cmd"), ["--endpoint-url", server.endpoint, "cp", ...args], {
        env: {
          AWS_ACCESS_KEY_ID: server.accessKeyId,
          AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
          AWS_REGION: server.region,
        },
        stdio: ["ignore", "ignore", "inherit"],
      });
      return (performance.now() - started) / 1000;
    };
    measure(dir, ours, s5cmd);
  } finally {
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

function measure(dir: string, ours: (...args: string[]) => Measured, s5cmd: (...args: string[]) => number): void {
  const source = join(dir, "source");
  const restored = join(dir, "restored");
  ours("save", source, String(SIZE));
  const file = join(source, "step-00000001", "tensors.safetensors");
  const theirFile = join(dir, "their-file");
  const up: Measured[] = [];
  const down: Measured[] = [];
  const theirUp: number[] = [];
  const theirDown: number[] = [];
  for (let i = 0; i < REPEAT; i += 1) {
    theirUp.push(s5cmd(file, `s3://${BUCKET}/theirs`));
    up.push(ours("upload", source, `ours-${i}`));
    theirDown.push(s5cmd(`s3://${BUCKET}/theirs`, theirFile));
    rmSync(theirFile);
    down.push(ours("download", restored, `ours-${i}`));
    rmSync(restored, { recursive: true });
  }
  print("upload", up, theirUp);
  print("restore", down, theirDown);
  const peak = (runs: Measured[]) => Math.max(...runs.map(({ peakRss }) => peakRss)) / MiB;
  process.stdout.write(
    `  peak memory of our process: upload ${peak(up).toFixed(0)} MiB (at most 150), restore ${peak(down).toFixed(0)} MiB\n`,
  );
}

function print(what: string, ours: Measured[], theirs: number[]): void {
  const seconds = median(ours.map((run) => run.seconds));
  const their = median(theirs);
  const speed = (s: number) => `${s.toFixed(2)} s, ${(SIZE / MiB / s).toFixed(0)} MiB/s`;
  const all = (list: number[]) => list.map((value) => value.toFixed(2)).join(" ");
  process.stdout.write(
    `  ${what} of ${SIZE / MiB} MiB: ours ${speed(seconds)} | s5cmd ${speed(their)} | ${(their / seconds).toFixed(2)}x (at least 0.9x)\n` +
      `    all runs: ours ${all(ours.map((run) => run.seconds))} | s5cmd ${all(theirs)}\n`,
  );
}

/** Bundled as the agent is: what it loads and how much memory that takes is part of the measurement. */
async function bundleWorker(dir: string): Promise<string> {
  const outfile = join(dir, "worker.mjs");
  await build({
    entryPoints: [resolve(import.meta.dirname, "worker.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    mainFields: ["module", "main"],
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    logLevel: "silent",
  });
  return outfile;
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
