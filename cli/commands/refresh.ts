/** `vastlane refresh`: reads what has become of the stack's machines into the state; repairs nothing. */
import { type Command, EXIT } from "../command.ts";
import { defaultStack, openOperation, operate } from "../operation.ts";
import { readOptions } from "../options.ts";
import { describeChanges } from "./preview.ts";

export const command: Command = {
  name: "refresh",
  summary: "read the machines' real condition into the state (`up` repairs what differs)",
  usage: "vastlane refresh [--stack NAME] [--json]\n\n  --stack NAME  the stack (default: $VASTLANE_STACK, or local)",
  async run(args, io) {
    const { values } = readOptions("refresh", args, { stack: { type: "string" }, json: { type: "boolean" } });
    const stack = values.stack ?? defaultStack(io.env);
    const operation = await openOperation(stack, io);
    const { changes } = await operate(operation, ["refresh", "--yes", "--skip-preview", "--clear-pending-creates"]);
    io.stdout(values.json ? `${JSON.stringify({ stack, changes })}\n` : `${describeChanges(changes)}\n`);
    return EXIT.done;
  },
};
