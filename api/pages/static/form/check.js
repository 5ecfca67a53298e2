// Checks the job while one types: at once without timing, and once more with the time that it will take.
import { post } from "../core/api.js";

const TYPING_MS = 500;
const RESTING_MS = 1500;

/**
 * @param handlers onChecking(), onChecked(check), onTimed(check), onUntimed(error), onRefused(problem)
 * @returns a function (spec) that starts a new check and drops the one that runs
 */
export function checker(handlers) {
  let timer = null;
  let abort = null;

  async function ask(spec, timed, signal) {
    return post(`/v1/jobs?validate_only=true&timed=${timed}`, spec, { signal });
  }

  async function run(spec) {
    abort = new AbortController();
    const { signal } = abort;
    handlers.onChecking();
    try {
      handlers.onChecked(await ask(spec, false, signal));
      timer = setTimeout(() => time(spec, signal), RESTING_MS - TYPING_MS);
    } catch (error) {
      if (error.name !== "AbortError") handlers.onRefused(error);
    }
  }

  async function time(spec, signal) {
    try {
      handlers.onTimed(await ask(spec, true, signal));
    } catch (error) {
      if (error.name !== "AbortError") handlers.onUntimed(error);
    }
  }

  return (spec) => {
    clearTimeout(timer);
    abort?.abort();
    timer = setTimeout(() => run(spec), TYPING_MS);
  };
}
