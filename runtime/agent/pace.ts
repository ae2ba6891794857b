/** Steps per second, by the heartbeats: over the last minute, so that a checkpoint or an evaluation does not show as zero. */

export interface Pace {
  note(step: number | null, seconds: number): void;
  /** Null while there is nothing to divide. Four significant digits. */
  stepsPerSecond(): number | null;
}

const WINDOW_SECONDS = 60;

export function createPace(): Pace {
  let samples: { step: number; seconds: number }[] = [];
  return {
    note(step, seconds) {
      if (step === null) return;
      const last = samples.at(-1);
      if (last && step < last.step) samples = []; // resumed further back
      samples.push({ step, seconds });
      while (samples.length > 2 && (samples[0]?.seconds ?? 0) < seconds - WINDOW_SECONDS) samples.shift();
    },
    stepsPerSecond() {
      const [first, last] = [samples[0], samples.at(-1)];
      if (!first || !last || last.seconds <= first.seconds || last.step <= first.step) return null;
      return Number(((last.step - first.step) / (last.seconds - first.seconds)).toPrecision(4));
    },
  };
}
