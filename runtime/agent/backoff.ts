/** How often and how soon a crashed command is tried again. Pure. */

export interface Verdict {
  /** Crashes in a row without progress, this one counted. */
  crashes: number;
  giveUp: boolean;
  /** Wait before the next attempt: 1, 2, 4 ... 60 s. */
  delayMs: number;
}

/** `hasProgressed`: since the last crash (or the start) there was a new highest step or a new checkpoint. */
export function afterCrash(crashesBefore: number, hasProgressed: boolean, maxCrashes: number): Verdict {
  const crashes = hasProgressed ? 1 : crashesBefore + 1;
  return {
    crashes,
    giveUp: crashes >= Math.max(1, maxCrashes),
    delayMs: Math.min(60, 2 ** Math.min(crashes - 1, 6)) * 1000,
  };
}
