/** Command line of the daemon. The CLI and `startEmulator` build it; a person rarely types it. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { UserError } from "../common/errors.ts";

export interface DaemonOptions {
  home: string;
  /** Undefined: the port of the last time, else one that the system chooses. */
  port: number | undefined;
  /** The store's port, in the same way. */
  s3Port: number | undefined;
  /** Undefined: the market's own. */
  seed: number | undefined;
  /** Market seconds per real second; undefined: as before. */
  speed: number | undefined;
  loadingSeconds: number;
  hasRateLimits: boolean;
  isCalm: boolean;
  /** Forces machines without root, namespaces and bwrap. */
  isPlain: boolean;
  /** No machines at all: contracts run, SSH does not. For tests of the market alone. */
  hasNoMachines: boolean;
  binds: { from: string; to: string }[];
  /** Ends whatever machines a killed daemon left behind, and exits. */
  isCleanup: boolean;
}

const DEFAULT_LOADING_SECONDS = 2;

/** @throws UserError VL_USAGE. */
export function parseDaemonOptions(args: string[]): DaemonOptions {
  const { values } = parseArgs({
    args,
    options: {
      home: { type: "string" },
      port: { type: "string" },
      "s3-port": { type: "string" },
      seed: { type: "string" },
      speed: { type: "string" },
      "loading-seconds": { type: "string" },
      "rate-limits": { type: "boolean" },
      calm: { type: "boolean" },
      plain: { type: "boolean" },
      "no-machines": { type: "boolean" },
      bind: { type: "string", multiple: true },
      cleanup: { type: "boolean" },
    },
  });
  if (!values.home) throw usage("--home DIR is required");
  return {
    home: resolve(values.home),
    port: number("--port", values.port, 1, 65_535),
    s3Port: number("--s3-port", values["s3-port"], 1, 65_535),
    seed: number("--seed", values.seed, 0, 2 ** 48),
    speed: number("--speed", values.speed, 0, 1e6),
    loadingSeconds: number("--loading-seconds", values["loading-seconds"], 0, 1e6) ?? DEFAULT_LOADING_SECONDS,
    hasRateLimits: values["rate-limits"] ?? false,
    isCalm: values.calm ?? false,
    isPlain: values.plain ?? false,
    hasNoMachines: values["no-machines"] ?? false,
    binds: (values.bind ?? []).map(bindOf),
    isCleanup: values.cleanup ?? false,
  };
}

function bindOf(text: string): { from: string; to: string } {
  const [from, to, ...rest] = text.split(":");
  if (!from || !to || rest.length > 0) throw usage(`--bind wants SRC:DST, not ${text}`);
  return { from: resolve(from), to };
}

function number(name: string, text: string | undefined, low: number, high: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === "" || !(value >= low && value <= high))
    throw usage(`${name} wants a number from ${low} to ${high}, not ${text}`);
  return value;
}

function usage(why: string): UserError {
  return new UserError("VL_USAGE", { what: "The emulator's options are wrong.", why });
}
