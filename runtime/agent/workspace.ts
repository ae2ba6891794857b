/**
 * Where things lie on the machine. One folder, the workspace, holds the project, its logs, its checkpoints and
 * our own state; it is `/workspace` on a rented machine and `$VASTLANE_WORKSPACE` where that is set.
 */
import { join } from "node:path";

export interface Workspace {
  root: string;
  /** Our own files: bundle, run.json, heartbeat, lock, scripts. */
  state: string;
  logs: string;
  checkpoints: string;
  project: string;
  /** Files that were changed both here and where the project comes from. */
  conflicts: string;
  files: {
    run: string;
    secrets: string;
    /** How to reach the store; absent: there is none. */
    store: string;
    /** Who this machine is in leases, and what it remembers of the last one. */
    agentId: string;
    memory: string;
    /** USD per hour. */
    price: string;
    /** Checkpoint files that are held while they are uploaded. */
    outgoing: string;
    /** For shells: the newest checkpoint. */
    resume: string;
    /** What deploy has sent, a line for each file. */
    manifest: string;
    /** Archives while they are made or unpacked. */
    staging: string;
    /** What this disk remembers of workspace snapshots. */
    snapshotMark: string;
    agent: string;
    heartbeat: string;
    record: string;
    /** Unix seconds of the machine's first start, written by the onstart script. */
    born: string;
    /** Seconds of grace that `stop.sh --grace` asks for; read when SIGTERM arrives. */
    stopGrace: string;
    outputPipe: string;
    output: string;
    metrics: string;
  };
}

export function workspaceAt(root: string): Workspace {
  const state = join(root, ".vastlane");
  const logs = join(root, "logs");
  return {
    root,
    state,
    logs,
    checkpoints: join(root, "persistent", "checkpoints"),
    project: join(root, "project"),
    conflicts: join(root, "conflicts"),
    files: {
      run: join(state, "run.json"),
      secrets: join(state, "secrets.env"),
      store: join(state, "store.json"),
      agentId: join(state, "agent-id"),
      memory: join(state, "lease-memory.json"),
      price: join(state, "price"),
      outgoing: join(state, "outgoing"),
      resume: join(state, "resume.env"),
      manifest: join(state, "manifest"),
      staging: join(state, "staging"),
      snapshotMark: join(state, "snapshot.json"),
      agent: join(state, "agent.json"),
      heartbeat: join(state, "heartbeat.json"),
      record: join(state, "record.json"),
      born: join(state, "born"),
      stopGrace: join(state, "stop-grace"),
      outputPipe: join(state, "output.fifo"),
      output: join(logs, "output.log"),
      metrics: join(logs, "metrics.jsonl"),
    },
  };
}
