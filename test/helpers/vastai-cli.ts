/**
 * The official `vastai` 1.9.1 command line, unmodified, from PyPI in a venv of ours (`.vastlane/venv`, made once).
 * Commands run with a home folder of their own, so that neither caches nor keys of this computer are met.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { execa } from "execa";
import { messageOf } from "../../common/errors.ts";

const VERSION = "1.9.1";
const VENV = resolve(import.meta.dirname, "../../.vastlane/venv");
const STAMP = join(VENV, `vastai-${VERSION}.ok`);
const FORKER = resolve(import.meta.dirname, "vastai_cli.py");

/** Whether the CLI can be had here; makes the venv at the first call. Without it (and outside CI) tests are skipped. */
export async function ensureVastaiCli(): Promise<{ ok: true } | { ok: false; why: string }> {
  if (existsSync(STAMP)) return { ok: true };
  try {
    const python = await findPython();
    rmSync(VENV, { recursive: true, force: true });
    mkdirSync(VENV, { recursive: true });
    await execa(python, ["-m", "venv", VENV]);
    await execa(join(VENV, "bin/pip"), ["install", "--quiet", "--disable-pip-version-check", `vastai==${VERSION}`], {
      timeout: 300_000,
    });
    writeFileSync(STAMP, "");
    return { ok: true };
  } catch (error) {
    const why = `the official CLI is not here and could not be installed with pip (python3 with venv, and a package index, are needed): ${messageOf(error).split("\n")[0]}`;
    if (process.env.CI) throw new Error(why, { cause: error });
    return { ok: false, why };
  }
}

export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** One request as the CLI sent it. */
export interface SentRequest {
  method: string;
  path: string;
  query: Record<string, string>;
  body: unknown;
  headers: { "user-agent": string; authorization?: string; "content-type"?: string };
}

export interface VastaiCli {
  run(...args: string[]): Promise<CliResult>;
  /** What was sent since the last call of this function. */
  sent(): SentRequest[];
  /** The environment in which the CLI runs, for starting the plain program. */
  environment: NodeJS.ProcessEnv;
  /** Path of the plain program. */
  program: string;
  close(): Promise<void>;
}

/** Makes the CLI ready against a market at `url`, with everything that it sends written down on the way. */
export async function openVastaiCli(market: { url: string; apiKey: string }): Promise<VastaiCli> {
  const home = mkdtempSync(join(tmpdir(), "vastlane-vastai-"));
  const recorder = await startRecorder(market.url);
  const environment = {
    PATH: process.env.PATH,
    HOME: home,
    XDG_CONFIG_HOME: join(home, "config"),
    XDG_CACHE_HOME: join(home, "cache"),
    VAST_URL: recorder.url,
    VAST_API_KEY: market.apiKey,
    VASTAI_NO_UPDATE_CHECK: "1",
    NO_PROXY: "127.0.0.1",
    COLUMNS: "200",
    NO_COLOR: "1",
  };
  const forker: ChildProcessByStdio<Writable, Readable, null> = spawn(join(VENV, "bin/python"), [FORKER], {
    env: environment,
    cwd: home,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const answers = createInterface({ input: forker.stdout })[Symbol.asyncIterator]();
  return {
    environment,
    program: join(VENV, "bin/vastai"),
    async run(...args) {
      const [stdout, stderr] = [join(home, "stdout"), join(home, "stderr")];
      forker.stdin.write(`${JSON.stringify({ args, stdout, stderr })}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error("the runner of the official CLI ended");
      const { code } = JSON.parse(value) as { code: number };
      return { code, stdout: readFileSync(stdout, "utf8"), stderr: readFileSync(stderr, "utf8") };
    },
    sent: recorder.taken,
    async close() {
      forker.stdin.end();
      await new Promise((done) => forker.once("close", done));
      await recorder.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function findPython(): Promise<string> {
  for (const name of ["python3", "python"]) {
    const found = await execa(name, ["-c", "import venv, sys; sys.exit(sys.version_info < (3, 9))"], { reject: false });
    if (found.exitCode === 0) return name;
  }
  throw new Error("no python3 >= 3.9 with venv");
}

/** Passes every request on and writes it down. */
async function startRecorder(target: string) {
  let requests: SentRequest[] = [];
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const bytes = Buffer.concat(chunks);
      const url = new URL(`http://recorder${incoming.url}`);
      const { authorization, "user-agent": agent = "", "content-type": type } = incoming.headers;
      requests.push({
        method: incoming.method ?? "",
        path: url.pathname,
        query: Object.fromEntries(url.searchParams),
        body: bytes.length > 0 ? JSON.parse(bytes.toString()) : null,
        headers: {
          "user-agent": agent,
          ...(authorization ? { authorization } : {}),
          ...(type ? { "content-type": type } : {}),
        },
      });
      const forwarded = request(
        `${target}${incoming.url}`,
        { method: incoming.method, headers: incoming.headers },
        (answer) => {
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(outgoing);
        },
      );
      forwarded.on("error", () => incoming.socket.destroy());
      forwarded.end(bytes);
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    taken: () => {
      const all = requests;
      requests = [];
      return all;
    },
    close: () =>
      new Promise<void>((done) => {
        server.closeAllConnections();
        server.close(() => done());
      }),
  };
}
