/** moto's server: S3 with the bucket settings that other stores lack, on a free port of this computer. */
import { type ChildProcess, spawn } from "node:child_process";
import { freePort } from "./ports.ts";
import { pythonVenv } from "./python.ts";

export interface Moto {
  endpoint: string;
  /** Keys of the environment: moto takes any. */
  env: NodeJS.ProcessEnv;
  stop(): Promise<void>;
}

export async function startMoto(): Promise<Moto | { skip: string }> {
  const venv = await pythonVenv();
  if (!venv.ok) return { skip: venv.why };
  const port = await freePort();
  const server = spawn(venv.program("moto_server"), ["-H", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
  const endpoint = `http://127.0.0.1:${port}`;
  const end = Date.now() + 30_000;
  while (!(await answers(endpoint))) {
    if (Date.now() > end || server.exitCode !== null) throw new Error("moto's server does not start");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const env = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" };
  return { endpoint, env, stop: () => ended(server) };
}

function answers(endpoint: string): Promise<boolean> {
  return fetch(endpoint).then(
    () => true,
    () => false,
  );
}

function ended(server: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    server.once("exit", () => resolve());
    server.kill("SIGKILL");
  });
}
