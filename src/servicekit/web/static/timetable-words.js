// @ts-check
/**
 * Timetables of schedules in words: "Monday to Friday at 09:00". Each field of a cron expression is first spelled out as
 * the numbers that it allows, and the words are made from these numbers. So `0-59` and `*` have the same words.
 */

const NICKNAMES = new Map([
  ['@hourly', '0 * * * *'],
  ['@daily', '0 0 * * *'],
  ['@midnight', '0 0 * * *'],
  ['@weekly', '0 0 * * 0'],
  ['@monthly', '0 0 1 * *'],
  ['@yearly', '0 0 1 1 *'],
  ['@annually', '0 0 1 1 *'],
]);
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December',
];
const COUNTED = ['', 'first', 'second', 'third', 'fourth', 'fifth'];
const UNITS = /** @type {const} */ ([[86_400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']]);
// More times of a day than these are hard to read: the expression beside the words says it better.
const MOST_TIMES = 4;

/**
 * @param {{cron: string, time_zone: string} | {every_seconds: number} | null} timetable as `schedules` has it
 * @returns {string}
 */
export function describeTimetable(timetable) {
  if (timetable === null) return 'a timetable that this process cannot read';
  if ('every_seconds' in timetable) return describeDistance(timetable.every_seconds);
  return describeCron(timetable.cron) ?? `by ${timetable.cron}`;
}

/** @param {number} seconds */
function describeDistance(seconds) {
  const [size, unit] = UNITS.find(([length]) => seconds % length === 0) ?? [1, 'second'];
  const count = seconds / size;
  return count === 1 ? `every ${unit}` : `every ${count} ${unit}s`;
}

/**
 * @param {string} expression
 * @returns {string | null} `null` if there are no short words for it
 */
export function describeCron(expression) {
  const fields = (NICKNAMES.get(expression.toLowerCase()) ?? expression).trim().toUpperCase().split(/\s+/);
  if (fields.length !== 5) return null;
  const [minute, hour, date, month, day] = /** @type {[string, string, string, string, string]} */ (fields);
  const time = describeTime(spell(minute, 0, 59), spell(hour, 0, 23));
  const days = describeDays(date, day);
  const months = describeMonths(spell(month, 1, 12, MONTHS));
  if (time === null || days === null || months === null) return null;
  const isClockTime = time.startsWith('at ');
  const when = days || (isClockTime ? 'every day' : '');
  const words = isClockTime ? [`${when} ${time}`, months] : [time, when, months];
  return words.filter(Boolean).join(', ');
}

/**
 * The numbers that a field allows, in order; `null` if it is none that is made of numbers.
 *
 * @param {string} field @param {number} least @param {number} most
 * @param {string[]} names of its numbers, from `least` on
 */
function spell(field, least, most, names = []) {
  /** @type {Set<number>} */
  const numbers = new Set();
  for (const part of field.split(',')) {
    const found = /^(\*|\w+)(?:-(\w+))?(?:\/(\d+))?$/.exec(part);
    if (!found) return null;
    const [, first, last, step] = found;
    const from = first === '*' ? least : toNumber(first ?? '', least, names);
    const to = last ? toNumber(last, least, names) : first === '*' || step ? most : from;
    if (from === null || to === null || step === '0') return null;
    for (let number = from; number <= to; number += Number(step ?? 1)) numbers.add(number);
  }
  return [...numbers].sort((one, other) => one - other);
}

/** @param {string} text @param {number} least @param {string[]} names */
function toNumber(text, least, names) {
  if (/^\d+$/.test(text)) return Number(text);
  const index = names.findIndex((name) => name.slice(0, 3).toUpperCase() === text);
  return index < 0 ? null : index + least;
}

/** @param {number[] | null} minutes @param {number[] | null} hours */
function describeTime(minutes, hours) {
  if (!minutes?.length || !hours?.length) return null;
  const [minute] = /** @type {[number]} */ (minutes);
  const pace = findPace(minutes, 60);
  if (pace && pace < 60) {
    const often = pace === 1 ? 'every minute' : `every ${pace} minutes`;
    if (hours.length === 24) return often;
    return isRun(hours) ? `${often} from ${clock(hours[0], 0)} to ${clock(hours.at(-1), 59)}` : null;
  }
  if (minutes.length * hours.length <= MOST_TIMES) {
    return `at ${enumerate(hours.flatMap((hour) => minutes.map((each) => clock(hour, each))))}`;
  }
  const past = minutes.length > 1 || minute ? ` at ${enumerate(minutes.map((each) => `:${pad(each)}`))}` : '';
  if (minutes.length > MOST_TIMES) return null;
  if (hours.length === 24) return `every hour${past}`;
  const hourPace = findPace(hours, 24);
  if (hourPace) return `every ${hourPace} hours${past}`;
  if (isRun(hours) && minutes.length === 1) return `every hour from ${clock(hours[0], minute)} to ${clock(hours.at(-1), minute)}`;
  return null;
}

/** The words for a date and a day of the week. Cron runs on both, unless one of them is `*`. @param {string} date @param {string} day */
function describeDays(date, day) {
  const dates = describeDates(date);
  const weekdays = describeWeekdays(day);
  if (dates === null || weekdays === null) return null;
  if (!dates || !weekdays) return dates || weekdays;
  return date.startsWith('*') || day.startsWith('*') ? `${dates} that is ${weekdays}` : `${dates} and ${weekdays}`;
}

/** @param {string} field */
function describeDates(field) {
  if (field === 'L') return 'on the last day of the month';
  if (field === 'LW') return 'on the last working day of the month';
  const dates = spell(field, 1, 31);
  if (!dates) return null;
  if (dates.length === 31) return '';
  if (dates.length > MOST_TIMES && !isRun(dates)) return null;
  return `on the ${isRun(dates) ? span(dates, ordinal) : enumerate(dates.map(ordinal))} of the month`;
}

/** @param {string} field */
function describeWeekdays(field) {
  const special = /^(\w{1,3}?)(?:#([1-5])|L)$/.exec(field);
  if (special) {
    const number = toNumber(special[1] ?? '', 0, DAYS);
    return number === null ? null : `on the ${special[2] ? COUNTED[Number(special[2])] : 'last'} ${DAYS[number % 7]}`;
  }
  const numbers = spell(field, 0, 7, DAYS);
  if (!numbers) return null;
  // 7 is Sunday too. A week is read from Monday on, so Sunday comes last.
  const days = [...new Set(numbers.map((number) => number % 7 || 7))].sort((one, other) => one - other);
  /** @param {number} number */
  const name = (number) => DAYS[number % 7] ?? '';
  if (days.length === 7) return '';
  if (days.length === 1) return `every ${name(days[0] ?? 0)}`;
  return isRun(days) && days.length > 2 ? span(days, name) : enumerate(days.map(name));
}

/** @param {number[] | null} months */
function describeMonths(months) {
  if (!months) return null;
  if (months.length === 12) return '';
  /** @param {number} number */
  const name = (number) => MONTHS[number - 1] ?? '';
  return `in ${isRun(months) && months.length > 2 ? span(months, name) : enumerate(months.map(name))}`;
}

/** The distance of numbers from 0 on that are equally far apart the whole way round; 0 if they are not. @param {number[]} numbers @param {number} round */
function findPace(numbers, round) {
  const pace = round / numbers.length;
  return numbers.every((number, index) => number === index * pace) ? pace : 0;
}

/** Whether these are two or more numbers without a gap. @param {number[]} numbers */
const isRun = (numbers) => numbers.length > 1 && numbers.every((number, index) => number === (numbers[0] ?? 0) + index);
/** @param {number[]} numbers @param {(number: number) => string} name */
const span = (numbers, name) => `${name(numbers[0] ?? 0)} to ${name(numbers.at(-1) ?? 0)}`;
/** @param {string[]} texts */
const enumerate = (texts) => (texts.length < 2 ? texts.join('') : `${texts.slice(0, -1).join(', ')} and ${texts.at(-1)}`);
/** @param {number} number */
const pad = (number) => String(number).padStart(2, '0');
/** @param {number} [hour] @param {number} [minute] */
const clock = (hour = 0, minute = 0) => `${pad(hour)}:${pad(minute)}`;
/** @param {number} number */
function ordinal(number) {
  const ending = number % 100 > 10 && number % 100 < 14 ? 'th' : ['th', 'st', 'nd', 'rd'][number % 10] ?? 'th';
  return `${number}${ending}`;
}
