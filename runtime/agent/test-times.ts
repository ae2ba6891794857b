/** Times that tests shorten, by the environment of the agent or of its container: they would else wait for minutes. */

export interface TestTimes {
  ttlSeconds?: number;
  renewMs?: number;
  pollMs?: number;
  snapshotMs?: number;
  idleMinutes?: number;
  idleSampleMs?: number;
}

export function testTimes(env: NodeJS.ProcessEnv): TestTimes {
  const ttlSeconds = Number(env.VASTLANE_LEASE_TTL_SECONDS);
  const idleSeconds = Number(env.VASTLANE_IDLE_SECONDS);
  const snapshotMs = Number(env.VASTLANE_SNAPSHOT_SECONDS) * 1000;
  return {
    ...(ttlSeconds > 0 && { ttlSeconds, renewMs: ttlSeconds * 333, pollMs: ttlSeconds * 133 }),
    ...(snapshotMs > 0 && { snapshotMs }),
    ...(idleSeconds > 0 && { idleMinutes: idleSeconds / 60, idleSampleMs: idleSeconds * 100 }),
  };
}
