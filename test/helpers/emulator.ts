/** Real emulator daemons for tests: each in a folder of its own, ended and removed with the test. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { systemClock } from "../../common/clock.ts";
import { isAlive } from "../../common/process.ts";
import { readHome } from "../../emulator/home.ts";
import {
  createEmulatorClient,
  type EmulatorClient,
  type EmulatorInfo,
  type JournalLine,
  type StartOptions,
  startEmulator,
  stopEmulator,
} from "../../emulator/index.ts";
import type { Answer } from "./market.ts";

export interface TestEmulator {
  info: EmulatorInfo;
  home: string;
  admin: EmulatorClient;
  /** One request with the account's key; throws when the connection fails. */
  call(method: string, path: string, body?: unknown, key?: string): Promise<Answer>;
  /** SIGKILL of the daemon alone; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again in the same folder, with the same options. */
  start(): Promise<void>;
  /** The lines of `journal.jsonl` as they lie on disk. */
  journalOnDisk(): JournalLine[];
}

/** An emulator without machines and delays, unless `options` say otherwise. */
export async function startTestEmulator(options: StartOptions = {}): Promise<TestEmulator> {
  const home = options.home ?? mkdtempSync(join(tmpdir(), "vastlane-emulator-"));
  const all: StartOptions = { loadingSeconds: 0, calm: true, noMachines: true, ...options, home };
  onTestFinished(async () => {
    await stopEmulator(home);
    rmSync(home, { recursive: true, force: true });
  });
  const emulator: TestEmulator = {
    home,
    info: await startEmulator(all),
    get admin() {
      return createEmulatorClient(emulator.info);
    },
    call: (method, path, body, key) => request(emulator.info.url, key ?? emulator.info.apiKey, method, path, body),
    async kill() {
      const record = readHome(home);
      if (!record) throw new Error("no emulator in this folder");
      process.kill(record.pid, "SIGKILL");
      while (isAlive({ pid: record.pid, startTicks: record.startTicks })) await systemClock.sleep(2);
    },
    async start() {
      emulator.info = await startEmulator(all);
    },
    journalOnDisk: () =>
      readFileSync(join(home, "journal.jsonl"), "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as JournalLine),
  };
  return emulator;
}

/** Ids of the offers that a simple query finds, cheapest first. */
export async function offerIds(emulator: TestEmulator, query: Record<string, unknown> = {}): Promise<number[]> {
  const { json } = await emulator.call("POST", "/api/v0/bundles/", { order: [["dph_total", "asc"]], ...query });
  return json.offers.map((offer: { id: number }) => offer.id);
}

/** Rents the cheapest offer and waits until the contract runs. */
export async function rentOne(emulator: TestEmulator, body: Record<string, unknown> = {}): Promise<number> {
  const [offer] = await offerIds(emulator);
  const { json } = await emulator.call("PUT", `/api/v0/asks/${offer}/`, {
    image: "ubuntu:22.04",
    disk: 10,
    runtype: "ssh_direc ssh_proxy",
    ...body,
  });
  await until(async () => (await show(emulator, json.new_contract))?.actual_status === "running");
  return json.new_contract;
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers as they please
export async function show(emulator: TestEmulator, id: number): Promise<any> {
  return (await emulator.call("GET", `/api/v0/instances/${id}/`)).json.instances;
}

/** Looks every few milliseconds, at most `seconds` long. */
export async function until(isDone: () => Promise<boolean>, seconds = 15): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await isDone())) {
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${isDone}`);
    await systemClock.sleep(15);
  }
}

async function request(url: string, key: string, method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}
