/** The onstart script's watchdog under real shells against a small HTTP server, with limits of seconds. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readFileIfThere } from "../../../common/files.ts";
import { identify, isAlive, signal } from "../../../common/process.ts";
import { type OnstartOptions, renderOnstart } from "../../../infra/vast/onstart.ts";

const KEY = "k-of-this-machine";
const HEARTBEAT_SECONDS = 2;

interface Asked {
  line: string;
  key: string | undefined;
  seconds: number;
}

let home: string;
let state: string;
let market: Server;
let asked: Asked[];
let answers: number[];
let started: number;
let watchdogs: ReturnType<typeof identify>[];

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "vastlane-watchdog-"));
  state = join(home, "workspace", ".vastlane");
  [asked, answers, watchdogs, started] = [[], [], [], performance.now()];
  market = createServer((request, response) => {
    const seconds = (performance.now() - started) / 1000;
    asked.push({ line: `${request.method} ${request.url}`, key: request.headers.authorization, seconds });
    response.writeHead(answers.shift() ?? 200, { "content-type": "application/json" }).end('{"success":true}');
  });
  await new Promise<void>((resolve) => market.listen(0, "127.0.0.1", resolve));
});

afterEach(() => {
  for (const watchdog of watchdogs) signal(watchdog, "SIGKILL");
  market.close();
  rmSync(home, { recursive: true, force: true });
});

/** Runs the script as a machine start would, and returns the watchdog that it leaves running. */
async function machineStart(options: Partial<OnstartOptions> & { shell?: string; path?: string } = {}) {
  const standard = { heartbeatMinutes: HEARTBEAT_SECONDS / 60, maxHours: 24, workspace: join(home, "workspace") };
  const script = join(home, "onstart.sh");
  writeFileSync(script, renderOnstart({ ...standard, ...options }));
  const env = {
    HOME: home,
    PATH: options.path ?? process.env.PATH,
    CONTAINER_ID: "5001",
    CONTAINER_API_KEY: KEY,
    VAST_URL: `http://127.0.0.1:${(market.address() as AddressInfo).port}/`,
  };
  const [program = "sh", ...args] = (options.shell ?? "sh").split(" ");
  const before = readFileIfThere(join(state, "watchdog"));
  await new Promise<void>((resolve, reject) =>
    execFile(program, [...args, script], { env }, (error) => (error ? reject(error) : resolve())),
  );
  const pid = await until(() => {
    const text = readFileIfThere(join(state, "watchdog"));
    return text !== before && Number(text);
  });
  const watchdog = identify(Number(pid));
  watchdogs.push(watchdog);
  return watchdog;
}

async function until<T>(condition: () => T, ms = 12_000): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const value = condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${condition}\n${log()}`);
    await pause(20);
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const log = () => readFileIfThere(join(state, "watchdog.log")) ?? "";
const beat = () => writeFileSync(join(state, "heartbeat.json"), "{}");

/** Beats once a second until told to stop, with changing times whatever the file system's resolution is. */
function heart() {
  let time = Math.floor(Date.now() / 1000);
  const timer = setInterval(() => {
    beat();
    utimesSync(join(state, "heartbeat.json"), time, time++);
  }, 500);
  return { stop: () => clearInterval(timer) };
}

const shells = ["dash", "bash", "bash --posix", "busybox sh"].filter((shell) => isOnPath(shell.split(" ")[0] ?? ""));

describe.each(shells)("under %s", (shell) => {
  test("destroys the machine when no heartbeat ever comes, with the machine's own key", async () => {
    await machineStart({ shell });
    const [request] = (await until(() => (asked.length > 0 ? asked : undefined))) ?? [];
    expect(request).toMatchObject({ line: "DELETE /api/v0/instances/5001/", key: `Bearer ${KEY}` });
    expect(request?.seconds).toBeGreaterThan(HEARTBEAT_SECONDS - 0.5);
    expect(existsSync(join(home, ".no_auto_tmux"))).toBe(true);
    expect(log()).toContain("destroying this machine");
  });
});

test("leaves a machine alone whose heartbeat goes on, and destroys it when that stops", async () => {
  await machineStart();
  const agent = heart();
  await pause(HEARTBEAT_SECONDS * 1000 + 2500);
  expect(asked).toEqual([]);
  agent.stop();
  await until(() => asked.length > 0);
});

test("destroys the machine when its time is over, heartbeat or not, counted from its first start", async () => {
  mkdirSync(state, { recursive: true });
  writeFileSync(join(state, "born"), `${Math.floor(Date.now() / 1000) - 3601}\n`);
  const agent = heart();
  await machineStart({ maxHours: 1, heartbeatMinutes: 10 });
  await until(() => asked.length > 0);
  agent.stop();
});

test("has no time limit when there is none, and keeps the time of the first start", async () => {
  mkdirSync(state, { recursive: true });
  writeFileSync(join(state, "born"), "1000000000\n");
  const agent = heart();
  await machineStart({ maxHours: null });
  await pause(1500);
  agent.stop();
  expect(asked).toEqual([]);
  expect(readFileIfThere(join(state, "born"))).toBe("1000000000\n");
});

test("holds to the limit that deploy has written since, longer or shorter than the rent's own", async () => {
  mkdirSync(state, { recursive: true });
  writeFileSync(join(state, "born"), `${Math.floor(Date.now() / 1000) - 7200}\n`);
  writeFileSync(join(state, "limit"), "36000\n");
  const agent = heart();
  await machineStart({ maxHours: 1, heartbeatMinutes: HEARTBEAT_SECONDS / 60 });
  await pause(1500);
  expect(asked).toEqual([]);
  writeFileSync(join(state, "limit"), "7000\n");
  await until(() => asked.length > 0);
  agent.stop();
});

test("asks again until the machine is gone: after errors, and after a yes that changed nothing", async () => {
  answers = [500, 500, 429, 429];
  await machineStart();
  await until(() => asked.length >= 6, 20_000); // each try is curl, then python3 where curl has failed
});

test("does it with python3 where there is no curl", async () => {
  const path = join(home, "bin");
  mkdirSync(path);
  const tools = ["sh", "cat", "date", "grep", "mkdir", "python3", "sed", "sleep", "stat", "tail", "touch", "tr"];
  for (const tool of tools) symlinkSync(whereIs(tool), join(path, tool));
  await machineStart({ path });
  const [request] = (await until(() => (asked.length > 0 ? asked : undefined))) ?? [];
  expect(request).toMatchObject({ line: "DELETE /api/v0/instances/5001/", key: `Bearer ${KEY}` });
});

test("watches once: a second start takes over from the first", async () => {
  const agent = heart();
  const first = await machineStart();
  const second = await machineStart();
  await until(() => !isAlive(first));
  expect(isAlive(second)).toBe(true);
  agent.stop();
});

test("is not kept away by what an earlier boot has left: another process has the watchdog's old id now", async () => {
  mkdirSync(state, { recursive: true });
  writeFileSync(join(state, "watchdog"), `${process.pid}\n`);
  const watchdog = await machineStart();
  // Something else writes the file (a full disk empties it): the watchdog stays as well.
  writeFileSync(join(state, "watchdog"), "");
  await pause(1500);
  expect(isAlive(watchdog)).toBe(true);
  await until(() => asked.length > 0);
});

test("starts the agent at each start, and again when its heartbeat stays away, unless it was told to stop", async () => {
  mkdirSync(state, { recursive: true });
  writeFileSync(join(state, "start.sh"), 'echo "start $CONTAINER_API_KEY $K" >> "$(dirname "$0")/starts"');
  await machineStart({ heartbeatMinutes: 4 / 60 });
  expect(readFileIfThere(join(state, "starts"))).toBe(`start ${KEY} \n`);
  await until(() => readFileIfThere(join(state, "starts"))?.split("\n").length === 3);
  writeFileSync(join(state, "stopped"), "");
  await until(() => asked.length > 0);
  expect(readFileIfThere(join(state, "starts"))?.split("\n").length).toBeLessThanOrEqual(4);
});

test.runIf(process.getuid?.() === 0 && isOnPath("unshare"))(
  "takes its variables from PID 1 where its own environment has none",
  async () => {
    const script = join(home, "onstart.sh");
    writeFileSync(script, renderOnstart({ heartbeatMinutes: 2 / 60, maxHours: null, workspace: "/nowhere" }));
    const container = execFile(
      "unshare",
      [
        "-p",
        "-f",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        `env -i PATH="$PATH" HOME="$HOME" sh ${script}; sleep 10`,
      ],
      {
        env: {
          PATH: process.env.PATH,
          HOME: home,
          VASTLANE_WORKSPACE: join(home, "workspace"),
          VAST_CONTAINERLABEL: "C.77",
          CONTAINER_API_KEY: KEY,
          VAST_URL: `http://127.0.0.1:${(market.address() as AddressInfo).port}`,
        },
      },
    );
    const [request] = (await until(() => (asked.length > 0 ? asked : undefined))) ?? [];
    expect(request).toMatchObject({ line: "DELETE /api/v0/instances/77/", key: `Bearer ${KEY}` });
    container.kill("SIGKILL");
  },
);

function isOnPath(tool: string): boolean {
  return find(tool) !== undefined;
}

function whereIs(tool: string): string {
  return find(tool) ?? tool;
}

/** The program itself, not a version manager's shim of it, which would need more than a bare PATH. */
function find(tool: string): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => !folder.endsWith("/shims"));
  return folders.map((folder) => join(folder, tool)).find((path) => existsSync(path));
}
