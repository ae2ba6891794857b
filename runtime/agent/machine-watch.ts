/** Whether anybody still needs this machine: the idle watch, with this machine's activity and ways to tell people. */
import type { Clock } from "../../common/clock.ts";
import { readFileIfThere } from "../../common/files.ts";
import { watchActivity } from "./activity.ts";
import { type IdleWatch, watchIdle } from "./idle-watch.ts";
import { notify } from "./notify.ts";
import { parseEnvFile, type Run } from "./run-file.ts";
import { testTimes } from "./test-times.ts";
import type { Workspace } from "./workspace.ts";

export interface MachineWatchOptions {
  workspace: Workspace;
  run: Run;
  checkpointDir: string;
  env: NodeJS.ProcessEnv;
  clock: Clock;
  /** For people who read the command's output. */
  say(line: string): void;
  onIdle(): void;
}

const SAMPLE_MS = 15_000;

export function watchMachine({ workspace, run, clock, say, ...options }: MachineWatchOptions): IdleWatch {
  const times = testTimes(options.env);
  const tell = async (text: string) => {
    say(text);
    const secrets = parseEnvFile(readFileIfThere(workspace.files.secrets) ?? "");
    const webhook = secrets.VASTLANE_WEBHOOK_URL ?? run.env.VASTLANE_WEBHOOK_URL;
    await notify({ text, runId: run.runId, webhook });
  };
  return watchIdle({
    activity: watchActivity({
      folders: [workspace.project, options.checkpointDir],
      isOurs: (pid) => pid === process.pid || pid === process.ppid,
      now: () => clock.now(),
    }),
    clock,
    idleMinutes: times.idleMinutes ?? run.idleMinutes,
    sampleMs: times.idleSampleMs ?? SAMPLE_MS,
    warn: (leftSeconds) =>
      tell(`nothing has moved on this machine for a while: it stops itself in ${leftSeconds} s unless something does`),
    tellStalled: (minutes) =>
      tell(`the command runs, but has shown no sign of life for ${minutes} minutes; it is left alone`),
    onIdle: options.onIdle,
  });
}
