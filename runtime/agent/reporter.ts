/**
 * Writes what others read about the agent: heartbeat.json, agent.json (who runs) and record.json (what has come to
 * an end). On a full disk it goes on as well as it can, says so in the heartbeat, and writes the record later.
 */
import { writeFileAtomic } from "../../common/files.ts";
import { identify, type ProcessId } from "../../common/process.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { RunRecord } from "./record.ts";
import { writeStateFile } from "./state-file.ts";
import type { Workspace } from "./workspace.ts";

export interface Reporter {
  /** `beat.warning` is kept; what the disk has to say comes first. */
  heartbeat(beat: Heartbeat, lostBytes: number): void;
  agentFile(commandPid: number | undefined): void;
  record(record: RunRecord): void;
  /** For shells: the newest checkpoint's folder, from which a script that is run by hand resumes. */
  resume(folder: string | undefined): void;
}

export function createReporter(files: Workspace["files"]): Reporter {
  const self: ProcessId = identify(process.pid);
  let unsaved: RunRecord | undefined;
  let isDiskFull = false;
  let resumeFolder: string | undefined;

  return {
    heartbeat(beat, lostBytes) {
      if (unsaved) this.record(unsaved);
      const write = () => {
        const warning = join(diskWarning(isDiskFull || lostBytes > 0, lostBytes), beat.warning);
        return writeStateFile(files.heartbeat, { ...beat, warning }, { durable: false }) !== "whole";
      };
      const wasFull = isDiskFull;
      isDiskFull = write();
      if (isDiskFull !== wasFull) write(); // with the news in it
    },
    agentFile(commandPid) {
      writeStateFile(files.agent, { ...self, commandPid: commandPid ?? null }, { durable: false });
    },
    resume(folder) {
      if (folder === resumeFolder) return;
      resumeFolder = folder;
      try {
        writeFileAtomic(files.resume, `VASTLANE_RESUME_FROM=${folder ?? ""}\n`, 0o600);
      } catch {
        resumeFolder = undefined; // a full disk: at the next beat again
      }
    },
    record(record) {
      const written = writeStateFile(files.record, record, { durable: true });
      unsaved = written === "whole" || written === "in-place" ? undefined : record;
    },
  };
}

function diskWarning(isFull: boolean, lostBytes: number): string | null {
  if (!isFull) return null;
  return lostBytes > 0 ? `disk full: ${lostBytes} bytes of output dropped so far` : "disk full";
}

function join(...parts: (string | null)[]): string | null {
  return parts.filter((part) => part !== null).join("; ") || null;
}
