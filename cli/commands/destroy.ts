/** `vastlane destroy`: ends every machine of the stack, proves that they are gone, and shows what they cost. */
import { UserError } from "../../common/errors.ts";
import { environmentOf } from "../../infra/project.ts";
import { resolveStore } from "../../infra/storage/access.ts";
import { describeKept, type Kept, lookAtKept } from "../../infra/storage/kept.ts";
import { type Command, EXIT, type Io } from "../command.ts";
import { confirm } from "../confirm.ts";
import { defaultStack, openOperation, operate } from "../operation.ts";
import { readOptions } from "../options.ts";
import { type MarketSession, openMarket } from "../session.ts";
import { stackMachines } from "../stack-machines.ts";
import { duration, usd } from "../table.ts";

export const command: Command = {
  name: "destroy",
  summary: "end every machine of the stack and everything that bills",
  usage: `vastlane destroy [--stack NAME] [--yes] [--json]

  --stack NAME  the stack (default: $VASTLANE_STACK, or local)
  --yes         do not ask; what is only on the machines' disks is lost
  --json        { stack, ended: [{ contractId, gpu, ageSeconds, costUsd }], billingPerHour, kept }

Checkpoints in the store are kept, and named with the command that removes them.`,
  run: (args, io) => destroy(args, io),
};

async function destroy(args: string[], io: Io): Promise<number> {
  const { values } = readOptions("destroy", args, {
    stack: { type: "string" },
    yes: { type: "boolean" },
    json: { type: "boolean" },
  });
  const stack = values.stack ?? defaultStack(io.env);
  const operation = await openOperation(stack, io);
  const session = await openMarket(stack, io);
  const before = await stackMachines(session, io);
  for (const it of before)
    io.stderr(`ending ${it.name}: ${it.gpu}, contract ${it.contractId}, ${usd(it.pricePerHourNow)}/h\n`);
  const store = session.config.checkpoint.store === "none" ? "" : "; its checkpoints in the store are kept";
  const isGiven = values.yes === true || session.market.name === "emulator";
  if (!(await confirm(`Destroy stack ${stack}? What is only on its disks is lost${store}.`, isGiven, io))) {
    throw new UserError("VL_CANCELLED", {
      what: "nothing was destroyed",
      hint: "use --yes to go ahead without a question",
    });
  }
  // What AWS or a store refuses must not keep anything that bills.
  const onward = session.config.checkpoint.store === "none" ? [] : ["--continue-on-error"];
  await operate(operation, ["destroy", "--yes", "--skip-preview", ...onward]);
  const after = await stackMachines(session, io);
  const billingPerHour = after.reduce((sum, it) => sum + it.pricePerHourNow, 0);
  const kept = await keptOf(session, io);
  const ended = before.map(({ contractId, gpu, ageSeconds, costUsd }) => ({ contractId, gpu, ageSeconds, costUsd }));
  if (values.json) io.stdout(`${JSON.stringify({ stack, ended, billingPerHour, kept: kept ?? null })}\n`);
  else {
    for (const it of ended)
      io.stdout(`contract ${it.contractId}: ${it.gpu} for ${duration(it.ageSeconds)}, at most ${usd(it.costUsd)}\n`);
    io.stdout(`Stack ${stack}: ${after.length} machines left, billing ${usd(billingPerHour)}/h.\n`);
    for (const line of kept ? describeKept(kept) : []) io.stdout(`${line}\n`);
  }
  return after.length === 0 ? EXIT.done : EXIT.failure;
}

/** The store is asked last and may be away: nothing that bills hangs on it. */
async function keptOf({ config, root, stack }: MarketSession, io: Io): Promise<Kept | undefined> {
  try {
    const store = resolveStore(config, root, environmentOf(root, io.env as NodeJS.ProcessEnv));
    return store && (await lookAtKept(store, stack));
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}
