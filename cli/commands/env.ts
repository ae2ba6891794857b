/**
 * `vastlane env STACK`: what raw `pulumi` needs, as lines for `eval` in bash or zsh. It also makes raw commands work
 * after a kill: a lock whose process is dead is removed, as raw `pulumi` would refuse for ever.
 */
import { hasCode, UserError } from "../../common/errors.ts";
import { nearest } from "../../common/nearest.ts";
import { findProjectRoot } from "../../infra/project.ts";
import { shellQuote } from "../../infra/shell-quote.ts";
import { type Command, EXIT, type Io } from "../command.ts";
import {
  ensureLocalStack,
  pulumiVariables,
  resolveEngine,
  stackMarket,
  stackNames,
  type Variables,
} from "../engine.ts";
import { recoverStack } from "../recovery.ts";

export const command: Command = {
  name: "env",
  summary: "prints what raw pulumi commands need, for the shell to eval",
  usage: `vastlane env [STACK] [--json]

  eval "$(npx vastlane env local)"   then: pulumi up, pulumi stack output, pulumi destroy ...

Sets back end, passphrase and engine for the stack (default: local), and puts the
engine and the project's Node first on PATH. Ends what a killed run left behind,
removes its lock, and says so. Works in bash and zsh.
`,
  async run(args, io) {
    const isJson = args.includes("--json");
    const [stack = "local", ...rest] = args.filter((arg) => arg !== "--json");
    if (rest.length > 0 || stack.startsWith("-")) throw usageError(args);
    const root = findProjectRoot(io.cwd);
    const market = stackMarket(stack, root);
    if (market === undefined) throw unknownStack(stack, root);

    const note = (line: string) => io.stderr(`${line}\n`);
    const options = { env: io.env, root, log: note, signal: io.signal };
    await resolveEngine(options);
    if (market === "emulator") await ensureLocalStack({ ...options, stack });
    await recover(stack, root, io, note);

    const variables = pulumiVariables(stack, { env: io.env, root });
    io.stdout(isJson ? `${JSON.stringify(variables, null, 2)}\n` : shellLines(variables));
    if (io.isTTY && !isJson) note(`# these lines are for: eval "$(npx vastlane env ${stack})"`);
    return EXIT.done;
  },
};

/** The changes as `export` and `unset` lines. */
export function shellLines({ set, unset }: Variables): string {
  const lines = Object.entries(set).map(([name, value]) => `export ${name}=${shellQuote(value)}`);
  return [...lines, ...unset.map((name) => `unset ${name}`), ""].join("\n");
}

/** A live lock is a note here and no error: looking at a stack that is being changed is fine. */
async function recover(stack: string, root: string, io: Io, note: (line: string) => void): Promise<void> {
  try {
    await recoverStack(stack, root, io, note);
  } catch (error) {
    if (!hasCode(error, "VL_LOCKED")) throw error;
    note(error.message);
  }
}

function usageError(args: string[]): UserError {
  return new UserError("VL_USAGE", {
    what: `vastlane env does not understand: ${args.join(" ")}`,
    hint: "vastlane env --help",
  });
}

function unknownStack(stack: string, root: string): UserError {
  const names = stackNames(root);
  const near = nearest(stack, names);
  return new UserError("VL_NOT_FOUND", {
    what: `There is no stack ${stack}.`,
    why: `No Pulumi.${stack}.yaml; there are: ${names.join(", ")}.`,
    hint: near ? `vastlane env ${near}` : `copy Pulumi.dev.yaml to Pulumi.${stack}.yaml`,
  });
}
