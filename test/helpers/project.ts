/**
 * A project of a user in a temporary folder, with its own state, emulator and stack: what a test changes, kills or
 * leaves behind stays in there. `dispose` ends the emulator with all machines.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { pulumiEnv, resolveEngine } from "../../cli/engine.ts";
import {
  createEmulatorClient,
  type EmulatorClient,
  type EmulatorInfo,
  type StartOptions,
  startEmulator,
  stopEmulator,
} from "../../emulator/index.ts";

export const repository = resolve(import.meta.dirname, "../..");

export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

export interface TestProject {
  root: string;
  stack: string;
  emulator: EmulatorInfo;
  market: EmulatorClient;
  /** Environment of raw `pulumi` commands, as `vastlane env` gives it. */
  env: Record<string, string>;
  /** Writes Pulumi.<stack>.yaml; keys without `vastlane:`. */
  configure(config: Record<string, unknown>): void;
  /** Runs `vastlane ...` in the project. */
  vastlane(args: string[], env?: Record<string, string>): Promise<Finished>;
  /** Runs the engine itself with --stack. */
  pulumi(args: string[], env?: Record<string, string>): Promise<Finished>;
  /** Starts the engine as its own process group and does not wait. */
  startPulumi(args: string[], env?: Record<string, string>): ChildProcess;
  /** Contracts that exist now, of every account. */
  alive(): Promise<number[]>;
  dispose(): Promise<void>;
}

/** Small, cheap and deterministic: any single RTX 3090 or 4090, nothing started. */
export const BASE_CONFIG = {
  market: "emulator",
  gpu: { names: ["RTX 3090", "RTX 4090"], minReliability: 0.9 },
  rental: { type: "interruptible", maxPricePerHour: 0.6 },
  machine: { diskGB: 10, loadingTimeoutMinutes: 1 },
  workspace: { sync: ["."], requirements: null },
  experiment: { command: null },
};

export async function makeProject(
  options: { config?: Record<string, unknown>; emulator?: StartOptions } = {},
): Promise<TestProject> {
  const root = mkdtempSync(join(tmpdir(), "vastlane-test-"));
  const stack = "test";
  layOut(root);
  const configure = (config: Record<string, unknown>) => {
    const entries = Object.entries({ ...BASE_CONFIG, ...config }).map(([key, value]) => [`vastlane:${key}`, value]);
    // The salt of the empty passphrase is kept when the file is rewritten, as a person's editor would.
    const salt = /^encryptionsalt: .*$/m.exec(readIfThere(join(root, `Pulumi.${stack}.yaml`)))?.[0];
    writeFileSync(
      join(root, `Pulumi.${stack}.yaml`),
      `${salt ? `${salt}\n` : ""}${stringify({ config: Object.fromEntries(entries) })}`,
    );
  };
  configure(options.config ?? {});
  const emulator = await startEmulator({
    home: join(root, ".vastlane/emulator"),
    calm: true,
    loadingSeconds: 0,
    ...options.emulator,
  });
  const baseEnv: Record<string, string> = { ...(process.env as Record<string, string>), CI: "true" };
  for (const name of [
    "VASTAI_API_KEY",
    "VAST_API_KEY",
    "VAST_URL",
    "VASTLANE_STATE_DIR",
    "VASTLANE_EMULATOR_HOME",
    "VASTLANE_STACK",
    "PULUMI_STACK",
  ])
    delete baseEnv[name];
  const env = pulumiEnv(stack, { env: baseEnv, root });
  const engine = await resolveEngine({ env: baseEnv, root });
  const stateFolder = join(root, ".vastlane/state");
  mkdirSync(stateFolder, { recursive: true });
  const withEnv = (more: Record<string, string> = {}) => ({ ...env, ...more });
  const project: TestProject = {
    root,
    stack,
    emulator,
    market: createEmulatorClient(emulator),
    env,
    configure,
    vastlane: (args, more) =>
      finish(
        spawn(process.execPath, [join(repository, "cli/main.ts"), ...args], {
          cwd: root,
          env: { ...baseEnv, VASTLANE_STACK: stack, ...more },
        }),
      ),
    pulumi: (args, more) => finish(spawn(engine.path, [...args, "--stack", stack], { cwd: root, env: withEnv(more) })),
    startPulumi: (args, more) =>
      spawn(engine.path, [...args, "--stack", stack], {
        cwd: root,
        env: withEnv(more),
        detached: true,
        stdio: ["ignore", "pipe", "pipe"],
      }),
    alive: async () =>
      (await project.market.contracts()).filter(({ destroyedAt }) => destroyedAt === null).map(({ id }) => id),
    async dispose() {
      await stopEmulator(emulator.home);
      rmSync(root, { recursive: true, force: true });
    },
  };
  const made = await finish(spawn(engine.path, ["stack", "init", stack, "--no-select"], { cwd: root, env }));
  if (made.code !== 0) throw new Error(`stack init failed: ${made.stderr}`);
  return project;
}

/** Waits for a child and collects what it prints. */
export function finish(child: ChildProcess): Promise<Finished> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => err.push(chunk));
  return new Promise((done, fail) => {
    child.once("error", fail);
    child.once("close", (code) =>
      done({ code: code ?? -1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
    );
  });
}

/** The files that a user has: a program of one line, and packages where npm would have put them. */
function layOut(root: string): void {
  writeFileSync(
    join(root, "Pulumi.yaml"),
    "name: vltest\nruntime: { name: nodejs, options: { typescript: false } }\nmain: index.ts\n",
  );
  writeFileSync(join(root, "package.json"), '{ "name": "vltest", "private": true, "type": "module" }\n');
  writeFileSync(join(root, "index.ts"), 'export * from "vastlane/program";\n');
  writeFileSync(join(root, ".gitignore"), "node_modules/\n.vastlane/\n");
  mkdirSync(join(root, "node_modules"));
  symlinkSync(repository, join(root, "node_modules/vastlane"));
  symlinkSync(join(repository, "node_modules/@pulumi"), join(root, "node_modules/@pulumi"));
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
