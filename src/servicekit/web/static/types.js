// @ts-check
// The shapes of what the service answers, for the check of types alone: browsers never load this module.

/** @typedef {'pending' | 'running' | 'completed' | 'failed' | 'canceled'} JobStatus */

/**
 * @typedef {object} Progress
 * @property {number} done
 * @property {number | null} total
 * @property {string | null} message
 * @property {string | null} reported_at
 */

/**
 * @typedef {object} PastAttempt
 * @property {number} attempt
 * @property {string} started_at
 * @property {string} finished_at
 * @property {string | null} error
 * @property {string} ended_by
 * @property {string | null} process
 */

/**
 * A job, as lists and streams tell it. Single records, and those of streams, have the optional fields as well.
 * @typedef {object} JobRecord
 * @property {string} id
 * @property {JobStatus} status
 * @property {string} submitted_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {string | null} error
 * @property {string | null} artifact_id
 * @property {string} name
 * @property {number} attempt
 * @property {number} version
 * @property {Progress | null} progress
 * @property {string[]} tags
 * @property {string | null} cancel_requested_at
 * @property {string} queue
 * @property {number} priority
 * @property {string | null} scheduled_at
 * @property {string | null} ended_by
 * @property {string | null} retry_of
 * @property {string | null} schedule
 * @property {string | null} parent
 * @property {string | null} owner
 * @property {Record<string, unknown>} metadata
 * @property {string | null} process
 * @property {number | null} elapsed_seconds
 * @property {number | null} remaining_seconds
 * @property {string | null} [error_traceback]
 * @property {PastAttempt[]} [attempts]
 * @property {string | null} [restart_problem]
 * @property {string | null} [pending_reason]
 * @property {string | null} [runner]
 * @property {Record<string, unknown> | null} [arguments]
 */

/** @typedef {Record<JobStatus | 'total', number>} JobStats */

/**
 * @typedef {object} QueueRecord
 * @property {string} name
 * @property {number} pending
 * @property {number} running
 * @property {number | null} max_concurrency
 * @property {boolean} is_paused
 */

/**
 * @typedef {object} LogLine
 * @property {number} number
 * @property {string} at
 * @property {number} attempt
 * @property {string} level
 * @property {string} source
 * @property {string} text
 */

/**
 * @typedef {object} ScheduleRecord
 * @property {string} name
 * @property {{cron: string, time_zone: string} | {every_seconds: number} | null} timetable
 * @property {string} target_name
 * @property {'skip' | 'once' | 'all'} missed
 * @property {'skip' | 'wait' | 'allow'} overlap
 * @property {boolean} is_paused
 * @property {string | null} next_at
 * @property {string | null} last_at
 * @property {string | null} last_job_id
 * @property {string | null} problem
 */

/**
 * @typedef {object} TaskRecord
 * @property {string} name
 * @property {'python' | 'shell'} task_type
 * @property {string} command
 * @property {string} description
 * @property {'code' | 'client'} source
 * @property {boolean} enabled
 * @property {Record<string, any>} parameters_schema
 * @property {string | null} problem
 */

/**
 * @typedef {object} ActivityPoint
 * @property {string} at
 * @property {number} submitted
 * @property {number} completed
 * @property {number} failed
 * @property {number} canceled
 * @property {number | null} wait_p50
 * @property {number | null} wait_p95
 * @property {number | null} run_p50
 * @property {number | null} run_p95
 */

/** @typedef {Omit<ActivityPoint, 'at'> & {per_minute: number, failure_share: number | null}} ActivityTotal */

/**
 * @typedef {object} Activity
 * @property {string} from
 * @property {string} to
 * @property {number} step_seconds
 * @property {ActivityPoint[]} points
 * @property {ActivityTotal} total
 * @property {(ActivityTotal & {name: string | null, queue: string | null})[]} groups
 * @property {(ActivityTotal & {queue: string | null})[]} queues
 */

/**
 * @typedef {object} WorkerRecord
 * @property {string} name
 * @property {string} started_at
 * @property {boolean} is_stopping
 * @property {boolean} runs_jobs
 * @property {number} running
 * @property {boolean} is_this
 * @property {string | null} seen_at
 * @property {string[] | null} runners
 * @property {Record<string, string>} problems
 */

/**
 * An endpoint of the service that submits a job. The path is relative to the page.
 * @typedef {object} Submission
 * @property {string} method
 * @property {string} path
 * @property {string} summary
 * @property {Record<string, unknown>} query
 * @property {unknown} body
 */

/**
 * What the page asks first. The paths are relative to the page.
 * @typedef {object} Service
 * @property {string} title
 * @property {string} version
 * @property {string} dashboard_version of the files of the page
 * @property {string | null} summary
 * @property {{jobs: string, queues: string, schedules: string, workers: string, tasks: string | null,
 *   artifacts: string | null, docs: string | null}} paths
 * @property {{owner: string | null, everything: boolean, may_act: boolean}} access
 * @property {{logs: boolean, tracebacks: boolean, has_tasks: boolean}} features
 */

/** @typedef {'connecting' | 'live' | 'reconnecting' | 'offline' | 'paused'} LiveState */

/**
 * What a listener of `Live` is told: changes, at most ten times a second; the state of the connection; or that the
 * stream began anew, so that lists must be read again.
 * @typedef {{type: 'changes', records: Map<string, JobRecord>, deleted: Set<string>}
 *   | {type: 'state', state: LiveState, since: Date | null, retryInSeconds: number | null}
 *   | {type: 'reset'}} LiveEvent
 */

/**
 * What a page is given, and what it gives back: `export async function show(context)` returns `{close()}`.
 * @typedef {object} PageContext
 * @property {HTMLElement} root where the page puts itself
 * @property {HTMLElement} search the slot of the search in the header
 * @property {import('./kit.js').Api} api
 * @property {Service} service
 * @property {import('./live.js').Live} live
 * @property {URL} url
 * @property {unknown} view how the page was when it was left, as its `view` told, if somebody comes back to it
 * @property {(url: string, options?: {replace?: boolean}) => void} navigate
 * @property {(title: string, status?: string) => void} setTitle
 * @property {Pick<import('./kit.js').Keys, 'add'>} keys Those of a page end with it
 * @property {AbortSignal} signal ends with the page
 * @property {boolean} [isBeside] The page stands beside another one, which has the title and the icon of the tab.
 */

/**
 * A page that is shown. With `update`, it is told when only the query of its address changes; else it is shown anew. With
 * `view`, it tells how it is, to be shown like that when somebody comes back.
 * @typedef {{close: () => void, update?: (url: URL) => void, view?: () => unknown}} Page
 */

export {};
