/**
 * `vastlane demo`: the whole story on this computer, in a minute, for somebody who knows neither Pulumi nor Vast.
 * It is the real engine, the real providers, real SSH and a market that only has no money in it; everything lives in
 * `.vastlane/demo` and ends with the demo.
 */
import { existsSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { UserError } from "../../common/errors.ts";
import { writeFileAtomic } from "../../common/files.ts";
import { type EmulatorClient, emulatorClient, startEmulator, stopEmulator } from "../../emulator/index.ts";
import { findProjectRoot } from "../../infra/project.ts";
import type { MachineView } from "../../infra/vast/machines.ts";
import { hashState, type StateHashes } from "../../runtime/trainer/index.ts";
import { type Command, EXIT, type Io } from "../command.ts";
import { compareStates } from "../demo/compare.ts";
import { OUTPUT, openRun, remote, untilRandomStep, untilStep } from "../demo/follow.ts";
import { startReference } from "../demo/reference.ts";
import { type DemoEngine, demoEngine } from "../demo-engine.ts";
import { readStackConfig } from "../operation.ts";
import { readOptions } from "../options.ts";
import { openMarket, resolveTarget } from "../session.ts";
import { stackMachines } from "../stack-machines.ts";
import { usd } from "../table.ts";
import { watchStacks } from "../watch/loop.ts";
import { sharedListing, watchedStack } from "../watch/stack.ts";

/** What `.vastlane/demo.json` holds. Times in seconds. */
export interface DemoResult {
  ok: boolean;
  engine: string;
  seconds: { total: number; upToFirstStep: number; recovery: number | null };
  preemptions: number;
  stepAtPreemption: number | null;
  finalStep: number | null;
  bitExact: boolean | null;
  costUsd: number;
  contractsAfter: number;
  billingPerHourAfter: number;
  /** The step of the checkpoint from which the second machine went on. */
  stepResumed: number | null;
  lostSteps: number | null;
  /** Parts of `seconds.recovery`. */
  recovery: { detect: number; rentToSsh: number; sshToFirstStep: number } | null;
  contracts: number[];
  /** SHA-256 of the final state, of the run that was interrupted and of one that was not. */
  hashes: { interrupted: StateHashes; uninterrupted: StateHashes } | null;
}

export const command: Command = {
  name: "demo",
  summary: "rent, train, lose the machine, go on elsewhere, destroy: on the emulated market, free, no account",
  usage: `vastlane demo [--json]

Writes .vastlane/demo.json; --json prints it as well. Everything it starts has ended when it ends.`,
  run: (args, io) => demo(args, io),
};

const STACK = "local";

async function demo(args: string[], io: Io): Promise<number> {
  const { values } = readOptions("demo", args, { json: { type: "boolean" } });
  const root = findProjectRoot(io.cwd);
  const result = join(root, ".vastlane", "demo.json");
  const folder = join(root, ".vastlane", "demo");
  const say = (text: string) => (values.json ? io.stderr(`${text}\n`) : io.stdout(`${text}\n`));
  // State, market and machines of their own: a person's own `local` stack is left alone.
  process.env.VASTLANE_STATE_DIR = folder;
  process.env.VASTLANE_SSH_CONFIG = "off";
  const world: Io = {
    ...io,
    env: {
      ...io.env,
      VASTLANE_STATE_DIR: folder,
      VASTLANE_SSH_CONFIG: "off",
      VAST_URL: "",
      VASTLANE_EMULATOR_HOME: undefined,
    },
  };
  const home = join(folder, "emulator");
  await endEarlierDemo(folder, home, world, say);
  rmSync(result, { force: true });
  try {
    const told = await tell({ root, home, say, io: world });
    writeFileAtomic(result, `${JSON.stringify(told, null, 2)}\n`);
    if (values.json) io.stdout(`${JSON.stringify(told)}\n`);
    return told.ok ? EXIT.done : EXIT.failure;
  } finally {
    await stopEmulator(home);
  }
}

interface Stage {
  root: string;
  home: string;
  say(text: string): void;
  io: Io;
}

async function tell({ root, home, say, io }: Stage): Promise<DemoResult> {
  const started = io.clock.now();
  const since = (from: number) => seconds(io.clock.now() - from);
  const quiet = (line: string) => say(`      ${line}`);
  const folder = dirname(home);

  const engine = await demoEngine(STACK, root, folder, io);
  if (engine.warning) say(engine.warning);
  say("vastlane rents GPUs as code. This demo does it on a market inside this computer: nothing costs money.\n");
  await startEmulator({
    home,
    calm: true,
    loadingSeconds: 1,
    binds: [{ from: join(root, "node_modules"), to: "/opt/vastlane/node_modules" }],
  });
  const market = emulatorClient(home);
  const { offers, mode } = await market.status();
  say(
    `1/6  A marketplace with ${offers} GPU machines is open. A rented one is a real SSH server${mode === "plain" ? "" : " in a sandbox of its own"}; beside it, an S3 store.`,
  );

  const config = readStackConfig(root, STACK);
  const script = config.experiment.command?.slice(1).join(" ");
  say(
    `2/6  \`up\`: rent the best machine for Pulumi.${STACK}.yaml, make the bucket, send the project, start ${script}.`,
  );
  const upStarted = io.clock.now();
  await engine.up(quiet);
  const run = openRun(config, STACK, root, io);
  const reference = startReference(root, join(folder, "reference"), config);
  try {
    const first = await machineNow(io);
    say(`     It runs: ${first.gpu} in ${first.geolocation}, ${usd(first.pricePerHourRunning)} per hour.`);
    const firstTarget = await resolveTarget(STACK, first.name ?? "main", io);
    const atFirst = await untilStep(firstTarget, 1, io);
    const upToFirstStep = seconds(atFirst.timeMs - upStarted);
    say("     The training's own words, over SSH:");
    for (const line of (await remote(firstTarget, `head -n 3 ${OUTPUT}`, io)).split("\n")) say(`       ${line}`);
    say(`     (${upToFirstStep} s from \`up\` to the first step)`);

    const every = config.checkpoint.everySteps;
    const safeStep = await run.untilStored();
    const atKill = await untilRandomStep(firstTarget, safeStep, every, io);
    await market.preempt(first.contractId);
    const killedAt = io.clock.now();
    say(
      `3/6  Preemption at step ${atKill.step}, without a warning: contract ${first.contractId} is taken away, every process on it is killed.`,
    );

    const recovered = await recover(engine, io, quiet);
    const second = await machineNow(io);
    const secondTarget = await resolveTarget(STACK, second.name ?? "main", io);
    const resumedStep = await run.resumedStep(secondTarget);
    const again = await untilStep(secondTarget, resumedStep + 1, io);
    const recovery = {
      detect: seconds(recovered.detectedAt - killedAt),
      rentToSsh: seconds(recovered.reachedAt - recovered.detectedAt),
      sshToFirstStep: seconds(again.timeMs - recovered.reachedAt),
    };
    const lostSteps = atKill.step - resumedStep;
    say(
      `4/6  \`watch\` saw it, and the same program put the run on another machine with an empty disk: contract ${second.contractId}.`,
    );
    say(
      `     It goes on from step ${resumedStep}: ${lostSteps} steps are done again. ${seconds(again.timeMs - killedAt)} s without training: ${recovery.detect} to notice, ${recovery.rentToSsh} to rent, ${recovery.sshToFirstStep} to send, restore and start.`,
    );

    const closed = await run.untilClosed();
    const finalStep = closed.finalStep;
    say(
      `5/6  The run is ${closed.status} at step ${finalStep}; its machine ends itself. Is it the same as if nothing had happened?`,
    );
    const interrupted = await hashState(await run.fetchFinal(join(folder, "final")));
    const uninterrupted = await hashState(await reference.finished());
    const { bitExact, lines } = compareStates(interrupted, uninterrupted);
    for (const line of lines) say(`       ${line}`);
    say(
      `     ${bitExact ? "Bit for bit" : "NO"}: interrupted run on the left, an uninterrupted one on the right (SHA-256).`,
    );

    say("6/6  `destroy`: end whatever is left, and ask the market whether anything still bills.");
    await engine.destroy(quiet);
    const { billingPerHour, contracts: left } = await market.status(); // of the whole market, not only of the stack
    const costUsd = await billOf(market);
    const total = since(started);
    const isMoved = first.contractId !== second.contractId && resumedStep > 0 && lostSteps > 0;
    const ok = left === 0 && billingPerHour === 0 && bitExact && isMoved && finalStep !== null;
    say(
      `\nThe bill: ${usd(costUsd)} for two machines (emulated dollars). Machines left: ${left}. Billing now: ${usd(billingPerHour)}/h. Checkpoints stay in the store.`,
    );
    say(
      `${ok ? "Done" : "Not as it should be"} in ${total} s with ${engine.warning ? "no engine" : engine.name.replace("pulumi", "Pulumi")}. Next: README.md, "From the demo to a real account".`,
    );
    return {
      ok,
      engine: engine.name,
      seconds: { total, upToFirstStep, recovery: seconds(again.timeMs - killedAt) },
      preemptions: 1,
      stepAtPreemption: atKill.step,
      finalStep,
      bitExact,
      costUsd,
      contractsAfter: left,
      billingPerHourAfter: billingPerHour,
      stepResumed: resumedStep,
      lostSteps,
      recovery,
      contracts: [first.contractId, second.contractId],
      hashes: { interrupted, uninterrupted },
    };
  } finally {
    reference.end();
    run.close();
  }
}

const seconds = (ms: number) => Math.round(ms / 100) / 10;

async function machineNow(io: Io): Promise<MachineView> {
  const session = await openMarket(STACK, io);
  const machine = (await stackMachines(session, io)).find(({ situation }) => situation === "running");
  if (machine) return machine;
  throw new UserError("VL_NOT_FOUND", { what: "the demo has no machine", hint: "report this with the lines above" });
}

interface Recovered {
  detectedAt: number;
  /** SSH to the new machine worked: the deploy has begun. */
  reachedAt: number;
}

/** The watcher's own loop, as `vastlane watch` runs it, until it has brought the run back. */
async function recover(engine: DemoEngine, io: Io, quiet: (line: string) => void): Promise<Recovered> {
  const done = new AbortController();
  let detectedAt = 0;
  let reachedAt = 0;
  let failure: string | undefined;
  const watched = watchedStack(STACK, io, sharedListing(io, LOOK_MS), () => {});
  await watchStacks(
    [
      {
        ...watched,
        up: () =>
          engine.up((line) => {
            if (reachedAt === 0 && /-deploy|deploy:/.test(line)) reachedAt = io.clock.now();
            quiet(line);
          }),
      },
    ],
    {
      clock: io.clock,
      signal: AbortSignal.any([done.signal, io.signal]),
      everyMs: LOOK_MS,
      soonMs: 500,
      once: false,
      tell({ event, text }) {
        if (event === "recovering") detectedAt = io.clock.now();
        if (event === "failed") failure = text;
        if (event === "recovered" || event === "over" || event === "failed") done.abort();
        quiet(text);
      },
    },
  );
  io.signal.throwIfAborted();
  if (failure !== undefined || detectedAt === 0)
    throw new UserError("VL_NOT_READY", {
      what: "the demo's run was not brought back",
      ...(failure && { why: failure }),
      hint: "run the demo again; if it persists, report it with the lines above",
    });
  return { detectedAt, reachedAt: reachedAt || io.clock.now() };
}

/** Of the market; a real one is asked every 10 s. */
const LOOK_MS = 2000;

/** What the market has charged, to the second. */
async function billOf(market: EmulatorClient): Promise<number> {
  const contracts = await market.contracts();
  return Math.round(contracts.reduce((sum, { costUsd }) => sum + costUsd, 0) * 1e6) / 1e6;
}

/** A demo that was killed may have left its market and machines: they end before a new one begins. */
async function endEarlierDemo(folder: string, home: string, io: Io, say: (text: string) => void): Promise<void> {
  if (!existsSync(folder)) return;
  if (await stopEmulator(home, io.clock)) say("(an earlier demo was still running: its market has been stopped)\n");
  // All of it is emulated and belongs to the demo alone.
  rmSync(folder, { recursive: true, force: true });
}
