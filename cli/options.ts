/** Flags of a command, parsed one way for all of them. */
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { messageOf, UserError } from "../common/errors.ts";
import { nearest } from "../common/nearest.ts";

type Values<O extends ParseArgsOptionsConfig> = ReturnType<typeof parseArgs<{ options: O; allowPositionals: true }>>;

/**
 * Parses flags strictly; `names` are the positional arguments, by name, all optional here.
 * @throws UserError VL_USAGE with the nearest flag
 */
export function readOptions<const O extends ParseArgsOptionsConfig>(
  command: string,
  args: readonly string[],
  options: O,
  names: readonly string[] = [],
): Values<O> {
  const fail = (what: string, why?: string): never => {
    throw new UserError("VL_USAGE", { what, ...(why && { why }), hint: `see \`vastlane ${command} --help\`` });
  };
  let parsed: Values<O>;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true }) as Values<O>;
  } catch (error) {
    const unknown = /Unknown option '(--?[^']+)'/.exec(messageOf(error))?.[1];
    if (unknown === undefined) return fail(...inOurWords(messageOf(error), args));
    const known = Object.keys(options).map((name) => `--${name}`);
    const near = nearest(unknown, known);
    return fail(`${command} has no flag ${unknown}`, near ? `did you mean ${near}?` : `its flags: ${known.join(", ")}`);
  }
  if (parsed.positionals.length > names.length)
    fail(`${command} does not take the argument ${parsed.positionals[names.length]}`);
  return parsed;
}

/** Node's text for a flag whose value is missing, begins with a dash or is not wanted, as `what` and `why`. */
function inOurWords(message: string, args: readonly string[]): [what: string, why?: string] {
  const flag = /'(?:-\w, )?(--?[\w-]+)/.exec(message)?.[1] ?? "a flag";
  if (message.includes("is ambiguous")) {
    const value = args[args.indexOf(flag) + 1] ?? "-1";
    return [
      `${flag} wants a value`,
      `one that begins with - is written ${flag}${flag.startsWith("--") ? "=" : ""}${value}`,
    ];
  }
  if (message.includes("argument missing")) return [`${flag} wants a value`];
  if (message.includes("does not take an argument")) return [`${flag} takes no value`];
  return [message.split("\n")[0] ?? "the arguments are wrong"];
}
