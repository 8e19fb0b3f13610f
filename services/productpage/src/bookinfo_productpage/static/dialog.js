// Without this script the dialog opens by its address (style.css, :target). With it, it is modal: the keyboard stays
// inside, Escape closes it, and the focus goes back to the button.
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
function openWhereTheAddressSaysSo() {
  if (location.hash === "#dialog" && !dialog.open) dialog.showModal();
}
addEventListener("hashchange", openWhereTheAddressSaysSo);
openWhereTheAddressSaysSo();
