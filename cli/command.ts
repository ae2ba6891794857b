/**
 * What a command of the CLI is: a name, its help, and a function from arguments to an exit code.
 * Commands reach terminal, environment, time and cancellation only through `Io`, so tests can run them in process.
 */
import type { Clock } from "../common/clock.ts";

/** The world as a command sees it. */
export interface Io {
  /** Writes text as it is (no line end is added). Results go here. */
  stdout(text: string): void;
  /** Writes text as it is. Progress, warnings and errors go here. */
  stderr(text: string): void;
  /** Whether stdout is a terminal: colours and moving lines only then. */
  isTTY: boolean;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** Aborted by the first Ctrl-C or SIGTERM. */
  signal: AbortSignal;
  clock: Clock;
}

/** Exit codes of every command. */
export const EXIT = { done: 0, failure: 1, usage: 2, interrupted: 130 } as const;

export interface Command {
  /** The word typed after `vastlane`. */
  name: string;
  /** One line for the list of commands. */
  summary: string;
  /** The arguments as shown by `vastlane NAME --help`; several lines, the first begins with `vastlane NAME`. */
  usage: string;
  /**
   * Runs the command with the arguments after its name and gives the exit code (`EXIT`).
   * @throws UserError for what its reader can act on; cli/main.ts prints it and exits 1 (2 for VL_USAGE).
   */
  run(args: string[], io: Io): Promise<number>;
}
