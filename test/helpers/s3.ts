/**
 * S3 stores for tests, each with an empty disk of its own: ours, in this process, and versitygw (a Go program of
 * others, v1.8.0), which keeps us honest. versitygw is installed once, below `.vastlane/go`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CreateBucketCommand, S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { execa } from "execa";
import type { Clock } from "../../common/clock.ts";
import { messageOf } from "../../common/errors.ts";
import { findProgram } from "../../common/programs.ts";
import type { S3FaultSource } from "../../emulator/s3/faults.ts";
import { type EmulatedS3, openEmulatedS3, S3_REGION } from "../../emulator/s3/index.ts";
import { enterAlone } from "../../scripts/setup/once.mjs";
import { freePort } from "./ports.ts";

export interface TestS3 {
  endpoint: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** Ends it and deletes what it holds. */
  stop(): Promise<void>;
}

export interface EmulatedTestS3 extends TestS3 {
  s3: EmulatedS3;
  folder: string;
}

const CACHE = resolve(import.meta.dirname, "../../.vastlane");
const GO_BIN = join(CACHE, "go");
const VERSITYGW = { name: "versitygw-1.8.0", module: "github.com/versity/versitygw/cmd/versitygw@v1.8.0" };

/** Our store in this process, without a market. `folder`: kept by `stop`. */
export async function startEmulatedS3(
  options: { clock?: Clock; faults?: S3FaultSource; folder?: string } = {},
): Promise<EmulatedTestS3> {
  const { folder = mkdtempSync(join(tmpdir(), "vastlane-s3-")), ...rest } = options;
  const s3 = await openEmulatedS3({ folder, log: (line) => console.error(line), ...rest });
  const server = s3.createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: S3_REGION,
    ...s3.root,
    s3,
    folder,
    async stop() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
      await s3.close();
      if (!options.folder) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** versitygw on a folder of its own, with versioning; `skip` says why it cannot be had here. */
export async function startVersitygw(): Promise<TestS3 | { skip: string }> {
  const program = await versitygw();
  if ("skip" in program) return program;
  const folder = mkdtempSync(join(tmpdir(), "vastlane-versitygw-"));
  const [data, versions] = [join(folder, "data"), join(folder, "versions")];
  for (const path of [data, versions]) mkdirSync(path);
  const port = await freePort();
  const keys = { accessKeyId: "versity-test", secretAccessKey: "versity-secret" };
  const server = spawn(
    program.path,
    ["--port", `127.0.0.1:${port}`, "--region", S3_REGION, "posix", "--versioning-dir", versions, data],
    {
      stdio: "ignore",
      env: { PATH: process.env.PATH, ROOT_ACCESS_KEY: keys.accessKeyId, ROOT_SECRET_KEY: keys.secretAccessKey },
    },
  );
  const endpoint = `http://127.0.0.1:${port}`;
  const end = Date.now() + 30_000;
  while (!(await answers(endpoint))) {
    if (Date.now() > end || server.exitCode !== null) throw new Error("versitygw does not start");
    await new Promise((done) => setTimeout(done, 50));
  }
  return {
    endpoint,
    region: S3_REGION,
    ...keys,
    async stop() {
      await ended(server);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** An SDK client with the SDK's own defaults, but for addresses: few names resolve below 127.0.0.1. */
export function clientOf(store: TestS3, config: S3ClientConfig = {}): S3Client {
  const { endpoint, region, accessKeyId, secretAccessKey } = store;
  const credentials = { accessKeyId, secretAccessKey };
  return new S3Client({ endpoint, region, credentials, forcePathStyle: true, ...config });
}

export async function makeBucket(store: TestS3, name: string): Promise<void> {
  const client = clientOf(store);
  await client.send(new CreateBucketCommand({ Bucket: name }));
  client.destroy();
}

/** The program, installed at the first call. In CI it must be there. */
export async function versitygw(): Promise<{ path: string } | { skip: string }> {
  const path = join(GO_BIN, VERSITYGW.name);
  if (existsSync(path)) return { path };
  const failed = (why: string) => {
    const skip = `versitygw 1.8.0 could not be installed: ${why}`;
    if (process.env.CI) throw new Error(skip);
    return { skip };
  };
  if (!findProgram("go", `${process.env.PATH ?? ""}:/usr/local/go/bin`)) return failed("Go is not on PATH");
  mkdirSync(GO_BIN, { recursive: true });
  const leave = await enterAlone(join(CACHE, "go.lock"), { waiting() {} });
  try {
    if (existsSync(path)) return { path };
    const staging = mkdtempSync(join(GO_BIN, "install-"));
    try {
      await execa("go", ["install", VERSITYGW.module], {
        env: { GOBIN: staging, PATH: `${process.env.PATH ?? ""}:/usr/local/go/bin` },
        timeout: 600_000,
      });
      await execa("mv", [join(staging, "versitygw"), path]);
    } finally {
      rmSync(staging, { recursive: true, force: true });
    }
    return { path };
  } catch (error) {
    return failed(messageOf(error).split("\n")[0] ?? "");
  } finally {
    leave();
  }
}

function answers(endpoint: string): Promise<boolean> {
  return fetch(endpoint).then(
    () => true,
    () => false,
  );
}

function ended(server: ChildProcess): Promise<void> {
  return new Promise((done) => {
    if (server.exitCode !== null || server.signalCode !== null) return done();
    server.once("exit", () => done());
    server.kill("SIGKILL");
  });
}
