/** `vastlane up`: shows the price, asks, and brings the stack to what its configuration says. */
import { UserError } from "../../common/errors.ts";
import { machineNames } from "../../infra/config.ts";
import { resolveKeys } from "../../infra/ssh/keys.ts";
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
  usage: `vastlane up [--stack NAME] [--yes] [--json]

  --stack NAME  the stack, so Pulumi.NAME.yaml (default: $VASTLANE_STACK, or local)
  --yes         spend without asking
  --json        the machines as JSON when done

Examples:
  vastlane up                     on the emulated market, free
  vastlane up --stack dev --yes   a dev box on Vast.ai`,
  run: (args, io) => up(args, io),
};

async function up(args: string[], io: Io): Promise<number> {
  const { values } = readOptions("up", args, {
    stack: { type: "string" },
    yes: { type: "boolean" },
    json: { type: "boolean" },
  });
  const stack = values.stack ?? defaultStack(io.env);
  const session = await openMarket(stack, io);
  resolveKeys(session.config.ssh, session.config.market, session.stateDir); // a missing key before any price
  const operation = await openOperation(stack, io);
  const { config, deps } = session;
  const scope = await scopeOfStack(session, io);
  const lines = await previewMachines(deps, config, machineNames(config), scope);
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
  try {
    await bringUp(operation);
  } catch (error) {
    await sayWhatBills(session, io);
    throw error;
  }
  const machines = await stackMachines(session, io);
  if (values.json) io.stdout(`${JSON.stringify({ stack, machines })}\n`);
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

/** After a failure: what was rented all the same. Silent where the market cannot be asked now. */
async function sayWhatBills(session: MarketSession, io: Io): Promise<void> {
  const machines = await stackMachines(session, io).catch(() => []);
  const perHour = machines.reduce((sum, it) => sum + it.pricePerHourNow, 0);
  for (const it of machines) io.stderr(`still there: contract ${it.contractId}, ${usd(it.pricePerHourNow)}/h\n`);
  if (perHour > 0) io.stderr(`It bills ${usd(perHour)}/h until: vastlane destroy --stack ${session.stack}\n`);
}
