"""Reading of PDFs: engines that give their text page by page, and the results in bounded memory."""
