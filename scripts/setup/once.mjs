/**
 * One set-up at a time in one clone. Each set-up puts a file named by its pid and start time into a folder and
 * goes on if no other live one is there; files of dead ones count for nothing, so a kill never blocks anybody.
 * Two that arrive together both step back and try again after a random while.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Waits until this process is the only one in `folder`; gives the function that leaves it.
 * @param {string} folder
 * @param {{ waiting(pid: number): void }} on called once, when somebody else is there
 * @returns {Promise<() => void>}
 */
export async function enterAlone(folder, on) {
  const own = `${process.pid}-${startTicks(process.pid) ?? 0}`;
  const leave = () => rmSync(join(folder, own), { force: true });
  let hasTold = false;
  for (;;) {
    mkdirSync(folder, { recursive: true });
    let other = liveOther(folder, own);
    if (other === undefined) {
      writeFileSync(join(folder, own), "");
      other = liveOther(folder, own);
      if (other === undefined) {
        process.once("exit", leave);
        return leave;
      }
      leave();
    } else if (!hasTold) {
      on.waiting(other);
      hasTold = true;
    }
    await new Promise((resolve) => setTimeout(resolve, 50 + Math.random() * 200));
  }
}

/**
 * @param {string} folder
 * @param {string} own
 */
function liveOther(folder, own) {
  for (const name of readdirSync(folder)) {
    if (name === own) continue;
    const [pid = 0, ticks = 0] = name.split("-").map(Number);
    if (isAlive(pid, ticks)) return pid;
    rmSync(join(folder, name), { force: true });
  }
  return undefined;
}

/**
 * @param {number} pid
 * @param {number} ticks 0 where unknown
 */
function isAlive(pid, ticks) {
  if (process.platform === "linux") return ticks !== 0 && startTicks(pid) === ticks;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/**
 * Clock ticks since boot when the process started, or undefined without /proc, or when it is gone.
 * @param {number} pid
 */
function startTicks(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}
