// What the page says, by the language of the document.

const WORDS = {
  "zh-CN": {
    log: "对话记录",
    placeholder: "输入消息",
    send: "发送",
    attach: "发送图片或文件",
    close: "关闭对话",
    connecting: "正在连接…",
    online: "在线",
    offline: "网络已断开",
    refused: "此页面无法连接客服，请从官方网站打开。",
    waiting: "网络已断开。消息会在恢复后自动发出。",
    down: "有新消息",
    typing: "正在输入",
    someone: "客服",
    you: "您",
    auto: "自动回复",
    queued: "发送中",
    sent: "已发送",
    failed: "未发送",
    retry: "重试",
    cancel: "取消",
    today: "今天",
    yesterday: "昨天",
    too_large: (size) => `文件不能超过 ${size}`,
    too_long: "消息太长，请分几条发送",
    empty: "文件是空的",
    file: "文件",
    picture: "图片",
    unread: (count, title) => `(${count}) ${title}`,
    cut: (left) => `还可输入 ${left} 字`,
  },
  en: {
    log: "Conversation",
    placeholder: "Write a message",
    send: "Send",
    attach: "Send a picture or file",
    close: "Close chat",
    connecting: "Connecting…",
    online: "Online",
    offline: "No connection",
    refused: "This page cannot reach us. Please open the chat from our own site.",
    waiting: "You are offline. Your messages will be sent when the connection is back.",
    down: "New messages",
    typing: "is typing",
    someone: "Support",
    you: "You",
    auto: "Automatic",
    queued: "Sending",
    sent: "Sent",
    failed: "Not sent",
    retry: "Try again",
    cancel: "Remove",
    today: "Today",
    yesterday: "Yesterday",
    too_large: (size) => `Files may be at most ${size}`,
    too_long: "That is too long for one message",
    empty: "The file is empty",
    file: "File",
    picture: "Picture",
    unread: (count, title) => `(${count}) ${title}`,
    cut: (left) => `${left} characters left`,
  },
};

export const lang = document.documentElement.lang in WORDS ? document.documentElement.lang : "en";
export const words = WORDS[lang];

const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hour12: false });
const thisYear = new Intl.DateTimeFormat(lang, { month: "long", day: "numeric", weekday: "short" });
const otherYear = new Intl.DateTimeFormat(lang, { year: "numeric", month: "long", day: "numeric" });

export const time = (at) => clock.format(at);

/** Name the day of *at* as people do: today, yesterday, then the date. */
export function day(at, now = Date.now()) {
  const midnight = (moment) => new Date(moment).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(now) - midnight(at)) / 86_400_000);
  if (days === 0) return words.today;
  if (days === 1) return words.yesterday;
  return (new Date(at).getFullYear() === new Date(now).getFullYear() ? thisYear : otherYear).format(at);
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KB`;
  return `${(bytes / 1024 / 1024).toFixed(bytes < 10_485_760 ? 1 : 0).replace(/\.0$/, "")} MB`;
}
