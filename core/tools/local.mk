# core/tools: see the essays at the head of its headers.
