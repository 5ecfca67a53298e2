// README's minimal job, sent by openapi-fetch with the types that openapi-typescript generates from the document.
import createClient from "openapi-fetch";
import type { components, paths } from "./api";

const client = createClient<paths>({ baseUrl: "http://127.0.0.1:8000" });

export async function submit(): Promise<string> {
  const { data, error } = await client.POST("/v1/jobs", {
    body: { model: { architecture: "lenet5" }, data: { dataset: "digits" }, sparsity: 0.99 },
  });
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  if (!("id" in data)) throw new Error("the response is that of validate_only");
  return data.id;
}

export async function sparsityOf(id: string): Promise<number | undefined> {
  const { data } = await client.GET("/v1/jobs/{job_id}", { params: { path: { job_id: id } } });
  const stage: components["schemas"]["Stage"] | null | undefined = data?.stage;
  const accuracy: number | undefined = data?.result?.test_accuracy;
  return stage && accuracy ? data?.spec.sparsity : undefined;
}

export async function bestTrial(id: string): Promise<number | null | undefined> {
  const { data } = await client.GET("/v1/jobs/{job_id}/trials", {
    params: { path: { job_id: id }, query: { order: "best", state: "done" } },
  });
  return data?.items[0]?.accuracy;
}

export async function resume(id: string): Promise<void> {
  await client.GET("/v1/jobs/{job_id}/events", {
    params: { path: { job_id: id }, header: { "last-event-id": "17" } },
    headers: { Accept: "text/event-stream" },
    parseAs: "stream",
  });
}

// A mistake must not compile, or this file would prove nothing.
export const wrong: components["schemas"]["JobRequest"] = {
  model: { architecture: "lenet5" },
  data: { dataset: "digits" },
  // @ts-expect-error: a number is no text
  sparsity: "0.99",
};
