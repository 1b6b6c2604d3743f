# core/search: see the essays at the head of its headers.
