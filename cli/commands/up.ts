/** `vastlane up`: shows the price, asks, and brings the stack to what its configuration says. */
import { UserError } from "../../common/errors.ts";
import { machineNames } from "../../infra/config.ts";
import { environmentOf } from "../../infra/project.ts";
import { planRun } from "../../infra/run.ts";
import { resolveKeys } from "../../infra/ssh/keys.ts";
import { markRun, type Reopening } from "../../infra/storage/run-record.ts";
import { previewMachines } from "../../infra/vast/preview.ts";
import { type Command, EXIT, type Io } from "../command.ts";
import { confirm } from "../confirm.ts";
import { bringUp, defaultStack, makeStack, openOperation } from "../operation.ts";
import { readOptions } from "../options.ts";
import { type MarketSession, openMarket, scopeOfStack } from "../session.ts";
import { sshCommand } from "../ssh-command.ts";
import { stackMachines } from "../stack-machines.ts";
import { usd } from "../table.ts";

export const command: Command = {
  name: "up",
  summary: "rent, repair or change the stack's machines and start the experiment",
  usage: `vastlane up [--stack NAME] [--fresh | --resume] [--yes] [--json]

  --stack NAME  the stack, so Pulumi.NAME.yaml (default: $VASTLANE_STACK, or local)
  --fresh       begin the run anew, also one that has ended; its checkpoints stay in the store
  --resume      go on with a run that has ended (over its budget, failed) from its last checkpoint
  --yes         spend without asking
  --json        { stack, runId, runStatus, machines: [...] } when done

Examples:
  vastlane up                     on the emulated market, free
  vastlane up --stack dev --yes   a dev box on Vast.ai`,
  run: (args, io) => up(args, io),
};

async function up(args: string[], io: Io): Promise<number> {
  const { values } = readOptions("up", args, {
    stack: { type: "string" },
    fresh: { type: "boolean" },
    resume: { type: "boolean" },
    yes: { type: "boolean" },
    json: { type: "boolean" },
  });
  const stack = values.stack ?? defaultStack(io.env);
  const session = await openMarket(stack, io);
  resolveKeys(session.config.ssh, session.config.market, session.stateDir); // a missing key before any price
  const operation = await openOperation(stack, io);
  const { config, deps } = session;
  const reopening = reopeningOf(values.fresh, values.resume);
  const run = await planRunOf(session, reopening, io);
  if (run.text !== undefined) io.stderr(`${run.text}\n`);
  const scope = await scopeOfStack(session, io);
  const lines = await previewMachines(deps, config, run.isClosed ? [] : machineNames(config), scope);
  for (const line of lines) io.stderr(`${line}\n`);
  if (session.market.name === "vast")
    io.stderr(`credit: ${usd(session.account.creditUsd)}; ends itself after ${config.budget.maxHours} h\n`);
  if (!(await confirm(`Go ahead on stack ${stack}?`, values.yes === true || session.market.name === "emulator", io))) {
    throw new UserError("VL_CANCELLED", {
      what: "nothing was changed",
      hint: "use --yes to go ahead without a question",
    });
  }
  if (scope === undefined && config.market === "vast") await makeStack(operation);
  if (reopening && run.store) await markRun(run.store, run.runId, reopening, new Date(io.clock.now()));
  try {
    await bringUp(operation);
  } catch (error) {
    await sayWhatBills(session, io);
    throw error;
  }
  const machines = await stackMachines(session, io);
  if (values.json) io.stdout(`${JSON.stringify({ stack, runId: run.runId, runStatus: run.status, machines })}\n`);
  else if (machines.length === 0) io.stdout(`Nothing is rented for run ${run.runId}: ${run.status}\n`);
  else {
    const total = machines.reduce((sum, it) => sum + it.pricePerHourNow, 0);
    for (const machine of machines) {
      io.stdout(
        `${machine.name}: ${machine.gpu} in ${machine.geolocation}, ${usd(machine.pricePerHourNow)}/h, contract ${machine.contractId}\n`,
      );
      const place = { stack, name: machine.name ?? "main", stateDir: session.stateDir };
      io.stdout(`  ${sshCommand(config, place)}\n`);
    }
    io.stdout(`It bills ${usd(total)}/h until: vastlane destroy --stack ${stack}\n`);
  }
  return EXIT.done;
}

function reopeningOf(fresh: boolean | undefined, resume: boolean | undefined): Reopening | undefined {
  if (fresh && resume)
    throw new UserError("VL_USAGE", { what: "--fresh and --resume exclude each other", hint: "vastlane up --help" });
  return fresh ? "fresh" : resume ? "running" : undefined;
}

/** What the run's record says, before any price. @throws UserError VL_USAGE, VL_RUN_REFUSED, VL_STORE_* */
async function planRunOf({ root, stack, config }: MarketSession, reopening: Reopening | undefined, io: Io) {
  const env = environmentOf(root, io.env as NodeJS.ProcessEnv);
  const run = await planRun({ root, stack, config, env, reopening });
  if (reopening === undefined || run.store) return run;
  throw new UserError("VL_USAGE", {
    what: `--${reopening === "fresh" ? "fresh has nothing to reset" : "resume has nothing to reopen"}: this stack has no checkpoint store`,
    why: "without one a run is known to its machine's disk alone, and ends with it",
    hint: `\`vastlane destroy --stack ${stack}\`, then \`vastlane up --stack ${stack}\`, begins anew; for runs that survive their machine, set vastlane:checkpoint.store`,
  });
}

/** After a failure: what was rented all the same. Silent where the market cannot be asked now. */
async function sayWhatBills(session: MarketSession, io: Io): Promise<void> {
  const machines = await stackMachines(session, io).catch(() => []);
  const perHour = machines.reduce((sum, it) => sum + it.pricePerHourNow, 0);
  for (const it of machines) io.stderr(`still there: contract ${it.contractId}, ${usd(it.pricePerHourNow)}/h\n`);
  if (perHour > 0) io.stderr(`It bills ${usd(perHour)}/h until: vastlane destroy --stack ${session.stack}\n`);
}
