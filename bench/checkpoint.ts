/**
 * What checkpoints cost: `npm run bench -- checkpoint [PART...]`. Each part is a file of its own in bench/checkpoint/
 * or beside it, and prints its figures beside what they are measured against.
 */
import { cpus } from "node:os";
import { UserError } from "../common/errors.ts";

const PARTS: Record<string, () => Promise<{ run(args: string[]): Promise<void> }>> = {
  stall: () => import("./checkpoint/stall.ts"),
  transfer: () => import("./checkpoint/transfer.ts"),
  recovery: () => import("./recovery.ts"),
};

export async function run(args: string[]): Promise<void> {
  const unknown = args.find((name) => !(name in PARTS));
  if (unknown !== undefined) {
    throw new UserError("VL_USAGE", {
      what: `bench checkpoint has no part "${unknown}"`,
      hint: `npm run bench -- checkpoint [${Object.keys(PARTS).join("|")}]...`,
    });
  }
  process.stdout.write(`${cpus().length} cores, Node ${process.version}\n`);
  for (const [name, load] of Object.entries(PARTS)) {
    if (args.length > 0 && !args.includes(name)) continue;
    process.stdout.write(`\n${name}\n`);
    await (await load()).run([]);
  }
}
