/** A workspace with a real agent in it, as deploy would leave one on a machine, for tests with real processes. */
import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readFileIfThere } from "../../common/files.ts";
import { buildAgent } from "../../runtime/agent/build.ts";
import type { Heartbeat } from "../../runtime/agent/heartbeat.ts";
import { workspaceAt } from "../../runtime/agent/workspace.ts";

const templates = fileURLToPath(new URL("../../templates/", import.meta.url));

export interface ScriptResult {
  code: number;
  stdout: string;
  stderr: string;
  seconds: number;
}

export type AgentMachine = Awaited<ReturnType<typeof makeAgentMachine>>;

/** `root`: an existing folder for the workspace (a small disk); else a temporary one. */
export async function makeAgentMachine(root = mkdtempSync(join(tmpdir(), "vastlane-agent-"))) {
  const workspace = workspaceAt(root);
  const { files } = workspace;
  mkdirSync(workspace.state, { recursive: true });
  mkdirSync(join(root, "project"), { recursive: true });
  copyFileSync((await buildAgent()).path, join(workspace.state, "agent.mjs"));
  for (const script of ["start.sh", "stop.sh"]) copyFileSync(templates + script, join(workspace.state, script));
  symlinkSync(process.execPath, join(workspace.state, "node"));

  const heartbeat = (): Heartbeat => JSON.parse(readFileSync(files.heartbeat, "utf8"));
  const machine = {
    root,
    workspace,
    heartbeat,
    output: () => readFileIfThere(files.output) ?? "",
    agentLog: () => readFileIfThere(join(workspace.state, "agent.log")) ?? "",
    setRun(run: { command: string[] | null } & Record<string, unknown>) {
      const standard = { runId: "test/run", contentHash: "h1", cwd: join(root, "project"), env: {}, params: {} };
      writeFileSync(files.run, JSON.stringify({ ...standard, mode: "dev", graceSeconds: 3, maxCrashes: 3, ...run }));
    },
    /** A shell script as the command: written into the project, run by sh. */
    script(text: string): string[] {
      writeFileSync(join(root, "project", "job.sh"), text);
      return ["sh", "job.sh"];
    },
    /** With quick heartbeats, so that tests need not wait for them. */
    start: (...args: string[]) => machine.startWith({}, ...args),
    startWith: (env: Record<string, string>, ...args: string[]): Promise<ScriptResult> =>
      runScript(join(workspace.state, "start.sh"), args, { ...process.env, VASTLANE_HEARTBEAT_MS: "200", ...env }),
    stop: (...args: string[]) => runScript(join(workspace.state, "stop.sh"), args),
    agentPid: (): number => JSON.parse(readFileSync(files.agent, "utf8")).pid,
    /** Polls until the condition holds (errors count as no) and returns its value. */
    async until<T>(condition: () => T, ms = 10_000): Promise<NonNullable<T>> {
      const end = Date.now() + ms;
      for (;;) {
        try {
          const value = condition();
          if (value) return value as NonNullable<T>;
        } catch {
          // not there yet
        }
        if (Date.now() > end) {
          throw new Error(`not within ${ms} ms: ${condition}\n${machine.agentLog()}\n${machine.output().slice(-500)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async end() {
      await machine.stop("--grace", "0");
      rmSync(root, { recursive: true, force: true });
    },
  };
  return machine;
}

export function runScript(path: string, args: string[], env: NodeJS.ProcessEnv = process.env): Promise<ScriptResult> {
  const started = performance.now();
  return new Promise((resolve) => {
    execFile("sh", [path, ...args], { env }, (error, stdout, stderr) => {
      const code = error ? Number(error.code ?? 1) : 0;
      resolve({ code, stdout, stderr, seconds: (performance.now() - started) / 1000 });
    });
  });
}
