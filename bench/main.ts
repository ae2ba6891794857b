/** `npm run bench -- NAME`: measurements, printed and never asserted. Each file answers one question. */
import { UserError } from "../common/errors.ts";

const BENCHES: Record<string, () => Promise<{ run(args: string[]): Promise<void> }>> = {
  checkpoint: () => import("./checkpoint.ts"),
  recovery: () => import("./recovery.ts"),
  up: () => import("./up.ts"),
};

const [name = "", ...args] = process.argv.slice(2);
const load = BENCHES[name];
if (!load) {
  const error = new UserError("VL_USAGE", {
    what: `there is no bench "${name}"`,
    hint: `npm run bench -- ${Object.keys(BENCHES).join("|")}`,
  });
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
} else await (await load()).run(args);
