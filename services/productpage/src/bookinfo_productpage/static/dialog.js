// Without this script, the link to #dialog opens the dialog (style.css, :target). This script makes the dialog modal: it
// keeps the keyboard focus inside, closes the dialog on Escape, and returns the focus to the button.
const dialog = document.getElementById("dialog");
document.documentElement.classList.add("script");
document.getElementById("sign-in-button").addEventListener("click", (event) => {
  event.preventDefault();
  dialog.showModal();
});
document.getElementById("close-dialog").addEventListener("click", (event) => {
  event.preventDefault();
  dialog.close();
});
function openIfTargeted() {
  if (location.hash === "#dialog" && !dialog.open) dialog.showModal();
}
addEventListener("hashchange", openIfTargeted);
openIfTargeted();
