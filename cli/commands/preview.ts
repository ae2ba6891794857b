/** `vastlane preview`: what `up` would change, and what it would cost per hour. Rents nothing. */
import { type Command, EXIT } from "../command.ts";
import { defaultStack, openOperation, operate } from "../operation.ts";
import { readOptions } from "../options.ts";

export const command: Command = {
  name: "preview",
  summary: "show what `up` would rent and change, with prices; changes nothing",
  usage: `vastlane preview [--stack NAME] [--json]

  --stack NAME  the stack (default: $VASTLANE_STACK, or local)
  --json        { stack, messages, changes } where changes counts resources by what would happen`,
  async run(args, io) {
    const { values } = readOptions("preview", args, { stack: { type: "string" }, json: { type: "boolean" } });
    const stack = values.stack ?? defaultStack(io.env);
    const operation = await openOperation(stack, io);
    const { infos, changes } = await operate(operation, ["preview"]);
    if (values.json) io.stdout(`${JSON.stringify({ stack, messages: infos, changes })}\n`);
    else {
      for (const line of infos) io.stdout(`${line}\n`);
      io.stdout(`${describeChanges(changes)}\n`);
    }
    return EXIT.done;
  },
};

const WORDS: Record<string, string> = {
  create: "to create",
  update: "to change",
  replace: "to replace",
  delete: "to remove",
  same: "unchanged",
};

/** `2 to create, 1 unchanged`; engine-internal kinds are left out. */
export function describeChanges(changes: Record<string, number>): string {
  const parts = Object.entries(WORDS).flatMap(([kind, word]) => (changes[kind] ? [`${changes[kind]} ${word}`] : []));
  return `resources: ${parts.join(", ") || "none"}`;
}
