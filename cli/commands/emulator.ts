/** `vastlane emulator`: start, stop and look at the market on this computer, and make things go wrong on it. */
import { join } from "node:path";
import { UserError } from "../../common/errors.ts";
import { nearest } from "../../common/nearest.ts";
import {
  emulatorClient,
  emulatorStatus,
  FAULT_KINDS,
  isFaultName,
  startEmulator,
  stopEmulator,
} from "../../emulator/index.ts";
import { findProjectRoot } from "../../infra/project.ts";
import { emulatorHome } from "../../infra/vast/market.ts";
import { type Command, EXIT, type Io } from "../command.ts";
import { readOptions } from "../options.ts";
import { usd } from "../table.ts";

const FAULTS = Object.keys(FAULT_KINDS);

export const command: Command = {
  name: "emulator",
  summary: "the market on this computer: start, stop, status, and faults on demand",
  usage: `vastlane emulator start [--home DIR] [--port N] [--s3-port N] [--seed N] [--speed X]
                        [--loading-seconds S] [--rate-limits] [--calm] [--plain] [--bind FROM:TO] [--json]
vastlane emulator stop|status [--home DIR] [--json]
vastlane emulator preempt CONTRACT [--json]
vastlane emulator outbid CONTRACT [--price USD] [--json]
vastlane emulator offline CONTRACT [--seconds S] [--json]
vastlane emulator fault KIND [--count N] [--seconds S] [--set NAME=VALUE]... [--json]
vastlane emulator fault clear [KIND] | fault list [--json]
vastlane emulator clock [--advance SECONDS] [--speed X] [--json]
vastlane emulator credit USD [--json]
vastlane emulator journal [--json]

  --home DIR           where it keeps everything (default: $VASTLANE_EMULATOR_HOME, or .vastlane/emulator)
  --s3-port N          where the store listens (default: the port of the last time)
  --speed X            market seconds per real second
  --loading-seconds S  how long a machine loads its image (default 2)
  --rate-limits        answer 429 as the real market does
  --calm               prices stand still and nobody else bids
  --plain              machines without root and namespaces

Fault kinds: ${FAULTS.join(", ")}`,
  async run(args, io) {
    const [verb = "", ...rest] = args;
    const act = VERBS[verb];
    if (act) return act(rest, io);
    const near = nearest(verb, Object.keys(VERBS));
    throw new UserError("VL_USAGE", {
      what: verb === "" ? "emulator wants a verb" : `emulator has no verb ${verb}`,
      why: near ? `did you mean ${near}?` : `verbs: ${Object.keys(VERBS).join(", ")}`,
      hint: "see `vastlane emulator --help`",
    });
  },
};

const common = { home: { type: "string" }, json: { type: "boolean" } } as const;

const VERBS: Record<string, (args: string[], io: Io) => Promise<number>> = {
  async start(args, io) {
    const options = {
      ...common,
      port: { type: "string" },
      "s3-port": { type: "string" },
      seed: { type: "string" },
      speed: { type: "string" },
      "loading-seconds": { type: "string" },
      "rate-limits": { type: "boolean" },
      calm: { type: "boolean" },
      plain: { type: "boolean" },
      bind: { type: "string", multiple: true },
    } as const;
    const { values } = readOptions("emulator", args, options);
    const number = (flag: "port" | "s3-port" | "seed" | "speed" | "loading-seconds", name: string = flag) => {
      const text = values[flag];
      return text === undefined ? {} : { [name]: toNumber(text, `--${flag}`) };
    };
    const home = homeOf(values.home, io);
    const isRunning = (await emulatorStatus(home)) !== undefined;
    const info = await startEmulator({
      home,
      ...number("port"),
      ...number("seed"),
      ...number("speed"),
      ...number("s3-port", "s3Port"),
      ...number("loading-seconds", "loadingSeconds"),
      rateLimits: values["rate-limits"] ?? false,
      calm: values.calm ?? false,
      plain: values.plain ?? false,
      binds: [...defaultBinds(io), ...(values.bind ?? []).map(toBind)],
    });
    print(
      io,
      values.json,
      info,
      `The emulated market ${isRunning ? "already runs" : "runs"} at ${info.url} (process ${info.pid}), its store at ${info.s3.endpoint}.\nUse it: npx vastlane up     Stop it: npx vastlane emulator stop\n`,
    );
    const ignored = Object.keys(values).filter((name) => !(name in common));
    if (isRunning && ignored.length > 0)
      io.stderr(
        `It goes on as it is: ${ignored.map((name) => `--${name}`).join(", ")} had no effect. Stop it first.\n`,
      );
    return EXIT.done;
  },

  async stop(args, io) {
    const { values } = readOptions("emulator", args, common);
    const wasRunning = await stopEmulator(homeOf(values.home, io));
    print(
      io,
      values.json,
      { stopped: wasRunning },
      wasRunning
        ? "The emulator and its machines have ended; contracts and disks are kept for the next start.\n"
        : "No emulator was running.\n",
    );
    return EXIT.done;
  },

  async status(args, io) {
    const { values } = readOptions("emulator", args, common);
    const home = homeOf(values.home, io);
    const status = await emulatorStatus(home);
    if (!status) {
      print(
        io,
        values.json,
        { running: false, home },
        "No emulator is running. Start one: npx vastlane emulator start\n",
      );
      return EXIT.failure;
    }
    const { apiKey: _, s3: store, ...shown } = status;
    const { accessKeyId: _id, secretAccessKey: _secret, ...s3 } = store;
    print(
      io,
      values.json,
      { running: true, ...shown, s3 },
      `The emulated market runs at ${status.url} (process ${status.pid}, ${status.mode} machines).\n${status.offers} offers, ${status.contracts} contract${status.contracts === 1 ? "" : "s"} billing ${usd(status.billingPerHour)}/h, credit ${usd(status.credit)}.\nStore at ${s3.endpoint}: ${s3.buckets} bucket${s3.buckets === 1 ? "" : "s"}, ${s3.objects} object${s3.objects === 1 ? "" : "s"}, ${(s3.bytes / 1e6).toFixed(1)} MB.\n${status.faults.length > 0 ? `Faults: ${status.faults.map(({ kind }) => kind).join(", ")}\n` : ""}`,
    );
    return EXIT.done;
  },

  async preempt(args, io) {
    const { values, positionals } = readOptions("emulator", args, common, ["CONTRACT"]);
    const id = contractOf(positionals[0]);
    const result = await client(values.home, io).preempt(id);
    print(io, values.json, { id, ...result }, `Contract ${id} has lost its machine (${result.phase}).\n`);
    return EXIT.done;
  },

  async outbid(args, io) {
    const { values, positionals } = readOptions("emulator", args, { ...common, price: { type: "string" } }, [
      "CONTRACT",
    ]);
    const id = contractOf(positionals[0]);
    const price = values.price === undefined ? {} : { price: toNumber(values.price, "--price") };
    const result = await client(values.home, io).outbid(id, price);
    print(io, values.json, { id, ...result }, `Contract ${id} is outbid (${result.phase}).\n`);
    return EXIT.done;
  },

  async offline(args, io) {
    const { values, positionals } = readOptions("emulator", args, { ...common, seconds: { type: "string" } }, [
      "CONTRACT",
    ]);
    const id = contractOf(positionals[0]);
    await client(values.home, io).offline({
      id,
      ...(values.seconds !== undefined && { seconds: toNumber(values.seconds, "--seconds") }),
    });
    print(io, values.json, { id, offline: true }, `The host of contract ${id} is offline.\n`);
    return EXIT.done;
  },

  async fault(args, io) {
    const options = {
      ...common,
      count: { type: "string" },
      seconds: { type: "string" },
      set: { type: "string", multiple: true },
    } as const;
    const { values, positionals } = readOptions("emulator", args, options, ["KIND", "KIND"]);
    const [kind = "", which] = positionals;
    const emulator = client(values.home, io);
    if (kind === "list") {
      const faults = await emulator.faults();
      print(
        io,
        values.json,
        { faults },
        faults.map((fault) => `${JSON.stringify(fault)}\n`).join("") || "No faults are set.\n",
      );
      return EXIT.done;
    }
    if (kind === "clear") {
      const removed = await emulator.clearFaults(which === undefined ? undefined : faultName(which));
      print(io, values.json, { removed }, `${removed} fault(s) cleared.\n`);
      return EXIT.done;
    }
    const name = faultName(kind);
    await emulator.fault(name, {
      ...(values.count !== undefined && { count: toNumber(values.count, "--count") }),
      ...(values.seconds !== undefined && { seconds: toNumber(values.seconds, "--seconds") }),
      ...Object.fromEntries((values.set ?? []).map(toSetting)),
    });
    print(io, values.json, { kind: name, set: true }, `Fault ${name} is set.\n`);
    return EXIT.done;
  },

  async clock(args, io) {
    const { values } = readOptions("emulator", args, {
      ...common,
      advance: { type: "string" },
      speed: { type: "string" },
    });
    const time = await client(values.home, io).clock({
      ...(values.advance !== undefined && { advanceSeconds: toNumber(values.advance, "--advance") }),
      ...(values.speed !== undefined && { speed: toNumber(values.speed, "--speed") }),
    });
    print(io, values.json, { time }, `Market time: ${new Date(time * 1000).toISOString()}\n`);
    return EXIT.done;
  },

  async credit(args, io) {
    const { values, positionals } = readOptions("emulator", args, common, ["USD"]);
    const amount = toNumber(positionals[0] ?? "", "the credit");
    await client(values.home, io).credit(amount);
    print(io, values.json, { creditUsd: amount }, `The account's credit is now ${usd(amount)}.\n`);
    return EXIT.done;
  },

  async journal(args, io) {
    const { values } = readOptions("emulator", args, common);
    const lines = await client(values.home, io).journal();
    print(io, values.json, { lines }, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    return EXIT.done;
  },
};

/** Machines find the runtime's packages where a real one has them installed: bound from this project, read-only. */
function defaultBinds(io: Io): { from: string; to: string }[] {
  return [{ from: join(findProjectRoot(io.cwd), "node_modules"), to: "/opt/vastlane/node_modules" }];
}

function homeOf(flag: string | undefined, io: Io): string {
  return flag ?? emulatorHome(findProjectRoot(io.cwd), io.env as NodeJS.ProcessEnv);
}

function client(home: string | undefined, io: Io) {
  return emulatorClient(homeOf(home, io));
}

function print(io: Io, isJson: boolean | undefined, value: unknown, text: string): void {
  io.stdout(isJson ? `${JSON.stringify(value)}\n` : text);
}

function contractOf(text: string | undefined): number {
  if (text === undefined) throw usage("which contract?", "see the ids with `vastlane status --all`");
  return toNumber(text, "the contract");
}

function toNumber(text: string, name: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw usage(`${name} wants a number, not "${text}"`);
  return value;
}

function toBind(text: string): { from: string; to: string } {
  const [from, to] = text.split(":");
  if (!from || !to) throw usage(`--bind wants FROM:TO, not "${text}"`);
  return { from, to };
}

function toSetting(text: string): [string, string | number | boolean] {
  const [name = "", value = ""] = text.split(/=(.*)/s);
  const number = Number(value);
  if (value === "true" || value === "false") return [name, value === "true"];
  return [name, value !== "" && Number.isFinite(number) ? number : value];
}

function faultName(text: string) {
  if (isFaultName(text)) return text;
  const near = nearest(text, FAULTS);
  throw usage(
    text === "" ? "which fault?" : `there is no fault ${text}`,
    near ? `did you mean ${near}?` : `kinds: ${FAULTS.join(", ")}`,
  );
}

function usage(what: string, hint = "see `vastlane emulator --help`"): UserError {
  return new UserError("VL_USAGE", { what, hint });
}
