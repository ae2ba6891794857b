/** `vastlane destroy`: ends every machine of the stack, proves that they are gone, and shows what they cost. */
import { UserError } from "../../common/errors.ts";
import { type Command, EXIT, type Io } from "../command.ts";
import { confirm } from "../confirm.ts";
import { defaultStack, openOperation, operate } from "../operation.ts";
import { readOptions } from "../options.ts";
import { openMarket } from "../session.ts";
import { stackMachines } from "../stack-machines.ts";
import { duration, usd } from "../table.ts";

export const command: Command = {
  name: "destroy",
  summary: "end every machine of the stack and everything that bills",
  usage: `vastlane destroy [--stack NAME] [--yes] [--json]

  --stack NAME  the stack (default: $VASTLANE_STACK, or local)
  --yes         do not ask; what is only on the machines' disks is lost
  --json        { stack, ended: [{ contractId, gpu, ageSeconds, costUsd }], billingPerHour }`,
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
  const isGiven = values.yes === true || session.market.name === "emulator";
  if (!(await confirm(`Destroy stack ${stack}? What is only on its disks is lost.`, isGiven, io))) {
    throw new UserError("VL_CANCELLED", {
      what: "nothing was destroyed",
      hint: "use --yes to go ahead without a question",
    });
  }
  await operate(operation, ["destroy", "--yes", "--skip-preview"]);
  const after = await stackMachines(session, io);
  const billingPerHour = after.reduce((sum, it) => sum + it.pricePerHourNow, 0);
  const ended = before.map(({ contractId, gpu, ageSeconds, costUsd }) => ({ contractId, gpu, ageSeconds, costUsd }));
  if (values.json) io.stdout(`${JSON.stringify({ stack, ended, billingPerHour })}\n`);
  else {
    for (const it of ended)
      io.stdout(`contract ${it.contractId}: ${it.gpu} for ${duration(it.ageSeconds)}, at most ${usd(it.costUsd)}\n`);
    io.stdout(`Stack ${stack}: ${after.length} machines left, billing ${usd(billingPerHour)}/h.\n`);
  }
  return after.length === 0 ? EXIT.done : EXIT.failure;
}
