/** Where progress goes. Providers write to a file, the CLI to the terminal, tests to an array. */
export type Log = (line: string) => void;

export const silent: Log = () => {};
